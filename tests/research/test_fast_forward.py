"""Quiet stretches are processed at once, while live every candle is processed alone. Both end in the same state."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from papertape.engine.kernel.state import FactColumns
from papertape.engine.reducer.reducer import decide, is_decision
from papertape.engine.research.tape import Tape
from papertape.events.facts import CandleClosed, GapFound, Timing
from tests.reducer.random_market import Recipe, market
from tests.reducer.runs import BUILT_IN, eager
from tests.research.ways import Ending, assert_same_bits, compiled, encoded, in_python
from tests.support import NO_LIMITS, configured_world, examples

if TYPE_CHECKING:
    from collections.abc import Mapping

    from papertape.engine.reducer.state import EngineState
    from papertape.engine.runner_settings import RunnerSettings
    from tests.reducer.random_market import RandomTape

pytestmark = pytest.mark.system

MINUTES = 2_200
CAREFUL = replace(NO_LIMITS, max_daily_loss_percent=0.5, max_risk_per_trade_percent=10.0)
SETTINGS = [eager(BUILT_IN), eager(["vwap_rsi"], CAREFUL)]


def candles_only(recipe: Recipe) -> RandomTape:
    """A market in which nothing stands between two candles of a symbol but holes, and a start at any minute."""
    tape = market(recipe)
    tape.funding, tape.open_interest = [None] * recipe.symbols, [None] * recipe.symbols
    return tape


def live(tape: RandomTape, settings: Mapping[str, RunnerSettings]) -> tuple[EngineState, list[bytes], list[bytes]]:
    """The tape taken candle by candle: the world, the decisions, and every runner's equities."""
    world, decided = configured_world(tape.contracts, settings), []
    equities = [array("d") for _ in world.runners]
    for seq, event in enumerate(tape.events(), start=1):
        answers = [entry.event for entry in decide(world, event, seq) if is_decision(entry.event)]
        decided += [encoded(answer) for answer in answers if not isinstance(answer, GapFound)]
        for runner, into in zip(world.runners, equities, strict=True):
            into.append(runner.account.equity_usdt)
    return world, decided, [one.tobytes() for one in equities]


def recipes() -> st.SearchStrategy[Recipe]:
    """Minutes long enough for every strategy to be ready."""
    return st.builds(
        Recipe,
        seed=st.integers(0, 2**32),
        symbols=st.integers(1, 2),
        candles=st.just(MINUTES),
        holes=st.integers(0, 6),
        long_holes=st.integers(0, 1),
        late_share=st.sampled_from([0.0, 0.02]),
        warm_up=st.sampled_from([0, 1, 723]),
    )


def assert_same_as_live(tape: RandomTape, settings: Mapping[str, RunnerSettings], ending: Ending) -> None:
    """Decisions and equities are those of the live engine."""
    _, decided, equities = live(tape, settings)
    assert ending.events() == decided
    assert ending.equities == equities


@examples(6)
@given(recipes(), st.sampled_from(SETTINGS))
def test_a_tape_of_candles_alone_is_what_the_live_engine_makes_of_it(
    recipe: Recipe, settings: dict[str, RunnerSettings]
) -> None:
    tape = candles_only(recipe)
    assert_same_bits(tape, settings, at_least=0)
    assert_same_as_live(tape, settings, compiled(tape, settings))


def test_enough_is_decided_on_such_a_tape_to_prove_something() -> None:
    tape = candles_only(Recipe(5, candles=MINUTES, holes=3, late_share=0.02, warm_up=723))
    assert len(in_python(tape, eager(BUILT_IN)).decided) > 50


@pytest.mark.parametrize("shift", [1, 2, 3, 4, 7, 14])
def test_a_tape_may_begin_inside_a_higher_candle(shift: int) -> None:
    tape = candles_only(Recipe(shift, candles=MINUTES))
    for table in tape.candles:
        for column in (table.open_time_ms, *table.values()):
            del column[:shift]
    assert_same_as_live(tape, eager(["vwap_rsi"]), compiled(tape, eager(["vwap_rsi"])))


@pytest.mark.parametrize("symbols", [1, 2])
@pytest.mark.parametrize("warm_up", [0, 100])
def test_both_ways_make_the_same_columns(symbols: int, warm_up: int) -> None:
    """Runs too: they end where another symbol or kind begins, and where the warm-up ends."""
    whole = market(Recipe(3, symbols, holes=2, warm_up=warm_up))
    for tape in (whole, candles_only(Recipe(3, symbols, holes=2, warm_up=warm_up))):
        plain, numbers = Tape.columns(tape), Tape.arrays(tape)
        assert [list(column) for column in plain] == [column.tolist() for column in numbers]
        assert_runs(plain)


def assert_runs(columns: FactColumns) -> None:
    """`run_end` of a fact is the index of the next one that is of another kind, symbol or side of the start."""
    places = [
        (kind, symbol, timing == Timing.WARM_UP)
        for kind, symbol, timing in zip(columns.kind, columns.symbol, columns.timing, strict=True)
    ]
    for f in range(columns.total):
        end = columns.run_end[f]
        assert set(places[f:end]) == {places[f]}
        assert end == columns.total or places[end] != places[f]


def test_an_event_of_a_column_is_the_candle() -> None:
    tape = candles_only(Recipe(1))
    first = tape.events()[0]
    assert isinstance(first, CandleClosed)
    assert (first.open, first.volume) == (tape.candles[0].open[0], tape.candles[0].volume[0])
