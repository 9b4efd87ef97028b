"""A state restored from its chunks equals the original, and continues in the same way."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from papertape.engine.inspect.state_chunks import join_state, split_state
from papertape.engine.kernel.indicators.structs import HISTORY_BARS_MIN
from papertape.engine.kernel.state import READINGS_MAX
from papertape.engine.reducer.reducer import fold, is_decision
from papertape.engine.reducer.snapshot_codec import encode
from papertape.engine.reducer.state import new_state
from papertape.engine.runner_settings import configuration
from tests.build import FIVE_MINUTES_MS
from tests.reducer.random_market import Recipe, market
from tests.reducer.runs import BUILT_IN, begin, eager
from tests.support import STRATEGIES, feed, take

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from papertape.engine.reducer.state import EngineState
    from papertape.events.log import Recorded

pytestmark = pytest.mark.system

RECIPE = Recipe(
    seed=3, symbols=3, candles=2_600, timeframe_ms=FIVE_MINUTES_MS, told_of=0.1, holes=2, long_holes=1, warm_up=50
)


@pytest.fixture(scope="module")
def events() -> list[Recorded]:
    """A log long enough that rings go round, with holes after which histories begin anew; a symbol comes late."""
    tape = market(RECIPE)
    facts, first = tape.events(), tape.contracts[:2]
    run = begin(first, eager(BUILT_IN), STRATEGIES)
    early = {contract.symbol for contract in first}
    feed(run.world, run.log, [fact for fact in facts[: len(facts) // 3] if fact.symbol in early])
    for event in configuration(STRATEGIES, tape.contracts, eager(BUILT_IN)):
        take(run.world, run.log, event)
    feed(run.world, run.log, facts[len(facts) // 3 :])
    return run.log


def cuts(events: Sequence[Recorded], count: int) -> list[int]:
    """So many places at which an input follows."""
    every = len(events) // count
    found = []
    for at in range(every, len(events), every):
        while at < len(events) and is_decision(events[at].event):
            at += 1  # noqa: PLW2901
        found.append(at)
    return found


def asked(parts: Sequence[bytes], told: Callable[[int], object] = lambda _: None) -> list[Callable[[], bytes]]:
    """Parts that are handed over when they are asked for, and say so."""

    def hand(number: int) -> bytes:
        told(number)
        return parts[number]

    return [partial(hand, number) for number in range(len(parts))]


def rebuilt(world: EngineState) -> EngineState:
    """The world of a world's parts."""
    return join_state(asked(list(split_state(world))), STRATEGIES)


def test_a_world_of_its_parts_goes_on_to_the_same_bits(events: list[Recorded]) -> None:
    world, at = new_state(STRATEGIES), 0
    symbols, readings, bars = set[int](), list[int](), list[int]()
    other = rebuilt(world)
    for cut in cuts(events, 25):
        fold(world, events[at:cut])
        fold(other, events[at:cut])
        assert encode(other) == encode(world), cut
        other, at = rebuilt(other), cut
        assert encode(rebuilt(other)) == encode(world), cut
        symbols.add(len(world.symbols))
        readings.append(max(market.readings for market in world.markets))
        bars.append(max(one.row for one in world.series[FIVE_MINUTES_MS].series))
    assert symbols == {2, 3}
    assert max(readings) > READINGS_MAX, "the rings went round"
    assert max(bars) > HISTORY_BARS_MIN
    assert bars != sorted(bars), "a history began anew"


def test_worlds_of_the_same_parts_share_nothing(events: list[Recorded]) -> None:
    middle = cuts(events, 2)[0]
    world = new_state(STRATEGIES)
    fold(world, events[:middle])
    before, parts = encode(world), list(split_state(world))
    moved, kept = join_state(asked(parts), STRATEGIES), join_state(asked(parts), STRATEGIES)
    assert encode(moved) == before
    fold(moved, events[middle : cuts(events, 4)[2]])
    assert encode(moved) != before
    assert encode(kept) == before
    assert encode(join_state(asked(parts), STRATEGIES)) == before


def test_near_worlds_have_most_parts_in_common(events: list[Recorded]) -> None:
    middle = cuts(events, 2)[0]
    near = middle + 100
    while is_decision(events[near].event):
        near += 1
    world = new_state(STRATEGIES)
    fold(world, events[:middle])
    earlier = set(split_state(world))
    fold(world, events[middle:near])
    later = list(split_state(world))
    changed = [part for part in later if part not in earlier]
    assert 1 < len(changed) < len(later) / 8


def test_only_the_rows_that_are_looked_at_are_unpacked(events: list[Recorded]) -> None:
    middle = cuts(events, 2)[0]
    world, told = new_state(STRATEGIES), list[int]()
    fold(world, events[:middle])
    parts = list(split_state(world))
    late = join_state(asked(parts, told.append), STRATEGIES)
    assert told == [0]
    fold(late, events[middle : middle + 1])
    assert len(told) < 12
    encode(late)
    encode(late)
    assert len(told) == len(set(told)), "each is asked for once"
