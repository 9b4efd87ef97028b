"""Signals are facts: a repeated one changes nothing, a contradicting one is refused, and memory is bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from papertape.engine.reducer.reducer import decide, fold, is_new
from papertape.engine.reducer.signals import IDS_MAX, NAMES_MAX, SOURCES_MAX
from papertape.engine.reducer.snapshot_codec import decode, encode, state_digest
from papertape.engine.reducer.state import new_state
from papertape.engine.signal_intake import AGE_MAX_MS, AHEAD_MAX_MS, PreparedSignals
from papertape.events.errors import CommandRefused
from papertape.events.facts import FeedConnected, SignalReceived
from papertape.events.signals import Signal, SignalBatch
from papertape.events.units import MINUTE_MS
from tests.build import DAY_0_MS, listed
from tests.kernel.scenario import Scenario
from tests.support import STRATEGIES, feed, state_of, take

if TYPE_CHECKING:
    from collections.abc import Iterable

TREND = SignalReceived(DAY_0_MS + MINUTE_MS, "X", "trend", 1.0, "api", "a")
CLOSED_MS = DAY_0_MS + MINUTE_MS


def watching(signals: Iterable[SignalReceived] = ()) -> Scenario:
    """A world that follows the log from its first event: X after one candle, and these signals."""
    scenario = Scenario([listed("X")])
    scenario.world = new_state(STRATEGIES)
    for event in (listed("X"), FeedConnected(DAY_0_MS, "sim", DAY_0_MS, 1.0)):
        take(scenario.world, scenario.log, event)
    scenario.candle(100.0)
    for signal in signals:
        take(scenario.world, scenario.log, signal)
    return scenario


def sent(name: str = "trend", value: float = 1.0, own_id: str = "a", at_ms: int | None = None) -> Signal:
    return Signal(symbol="X", name=name, value=value, source="api", id=own_id, at_ms=at_ms)


def received(scenario: Scenario, wall_ms: int, *signals: Signal) -> list[SignalReceived]:
    """The facts that signals become when they arrive."""
    facts = PreparedSignals(SignalBatch(signals), wall_ms).inputs(scenario.world)
    assert all(isinstance(fact, SignalReceived) for fact in facts)
    return [fact for fact in facts if isinstance(fact, SignalReceived)]


# ---------------------------------------------------------------- repetitions


def test_a_repeated_signal_changes_nothing_whatever_its_time() -> None:
    scenario = watching([TREND])
    before, length = state_of(scenario.world), len(scenario.log)
    assert not is_new(scenario.world, replace(TREND, at_ms=TREND.at_ms + 5))
    feed(scenario.world, scenario.log, [replace(TREND, at_ms=TREND.at_ms + 5)])
    assert (state_of(scenario.world), len(scenario.log)) == (before, length)


@pytest.mark.parametrize("change", [{"value": 2.0}, {"name": "risk"}])
def test_another_signal_under_the_same_id_is_refused_and_leaves_no_trace(change: dict[str, float | str]) -> None:
    scenario = watching([TREND])
    before = state_of(scenario.world)
    with pytest.raises(CommandRefused, match="id: api has sent 'a' already, as X trend = 1; another signal needs"):
        decide(scenario.world, replace(TREND, **change), len(scenario.log) + 1)
    assert state_of(scenario.world) == before
    assert is_new(scenario.world, replace(TREND, source="model", **change)), "each source has ids of its own"


def test_a_signal_of_an_unknown_symbol_is_no_news() -> None:
    assert not is_new(watching().world, replace(TREND, symbol="Y"))


def test_the_newest_ids_of_each_source_are_remembered() -> None:
    crowd = [replace(TREND, id=str(number)) for number in range(IDS_MAX + 1)]
    world = watching([replace(TREND, source="model"), *crowd]).world
    assert len(world.signals.sources["api"].known) == IDS_MAX
    assert is_new(world, crowd[0]) and not is_new(world, crowd[1])
    assert not is_new(world, replace(TREND, source="model"))


def test_sources_and_names_are_limited() -> None:
    scenario = watching([replace(TREND, source=f"s{number}") for number in range(SOURCES_MAX)])
    with pytest.raises(CommandRefused, match="source: a log takes signals from 16 sources; 'other' is another"):
        decide(scenario.world, replace(TREND, source="other"), 1)
    names = [replace(TREND, name=f"n{number}", id=str(number)) for number in range(NAMES_MAX)]
    with pytest.raises(CommandRefused, match="name: a log takes signals under 64 names; 'trend' is another"):
        decide(watching(names).world, TREND, 1)


def test_a_restored_and_a_replayed_state_remember_the_same() -> None:
    signals = [replace(TREND, id=str(number), at_ms=CLOSED_MS + number) for number in range(IDS_MAX + 3)]
    scenario = watching(signals)
    world, replayed = scenario.world, new_state(STRATEGIES)
    fold(replayed, scenario.log)
    restored = decode(encode(world), STRATEGIES)
    assert state_of(replayed) == state_of(restored) == state_of(world)
    assert state_digest(replayed) == state_digest(world)
    assert state_digest(watching(signals[:-1]).world) != state_digest(world)
    for state in (replayed, restored):
        assert not is_new(state, signals[-1]) and is_new(state, signals[0])


# ---------------------------------------------------------------- event times of live signals


def test_a_live_signal_counts_from_the_forming_candle_and_behind_the_last_one() -> None:
    scenario = watching()
    now_ms = CLOSED_MS + 20_000
    (fact,) = received(scenario, now_ms, sent())
    assert fact == SignalReceived(now_ms, "X", "trend", 1.0, "api", "a")
    (early,) = received(scenario, now_ms, sent(at_ms=CLOSED_MS - 3))
    assert early.at_ms == CLOSED_MS, "decisions at that close are made already"
    (late,) = received(scenario, CLOSED_MS + 90_000, sent())
    assert late.at_ms == CLOSED_MS + MINUTE_MS - 1, "the decision at the next close will know it"
    take(scenario.world, scenario.log, fact)
    (behind,) = received(scenario, now_ms, sent(own_id="b", at_ms=CLOSED_MS + 5))
    assert behind.at_ms == now_ms + 1


def test_a_signal_is_refused_if_it_is_too_old_or_from_the_future() -> None:
    scenario, now_ms = watching(), CLOSED_MS + 20_000
    assert received(scenario, now_ms, sent(at_ms=now_ms - AGE_MAX_MS))
    assert received(scenario, now_ms, sent(at_ms=now_ms + AHEAD_MAX_MS))
    with pytest.raises(CommandRefused, match="at: the signal is 15 minutes old; at most 15 are accepted"):
        received(scenario, now_ms, sent(at_ms=now_ms - AGE_MAX_MS - 1))
    with pytest.raises(CommandRefused, match="at: the signal lies 60 seconds ahead"):
        received(scenario, now_ms, sent(at_ms=now_ms + AHEAD_MAX_MS + 1))
    take(scenario.world, scenario.log, TREND)
    assert received(scenario, now_ms, sent(at_ms=0)) == [], "a repetition is harmless, however old"


def test_before_the_first_candle_no_signal_is_taken() -> None:
    scenario = Scenario([listed("X")])
    with pytest.raises(CommandRefused, match="symbol: no candle of X has arrived yet"):
        received(scenario, CLOSED_MS, sent())
