"""A fold of the excerpt ends where a fold of the whole run ends, in whichever engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from papertape.engine.reducer.state import new_state
from papertape.engine.research.backtest import Backtest
from papertape.engine.research.cpython_kernel import PlainEngine
from papertape.engine.research.excerpt import excerpt
from papertape.engine.research.guarded import run_tape
from papertape.engine.runner_settings import RunnerSettings, configuration
from papertape.events.log import Recorded
from papertape.projections.folds.coverage import Coverage
from papertape.projections.folds.portfolio import Portfolio
from papertape.projections.host import fold
from tests.projections.part_runs import NAME, laddered
from tests.reducer.random_market import Recipe, market, recipes
from tests.reducer.runs import eager
from tests.research.ways import compile_once
from tests.support import NO_LIMITS, STRATEGIES, configured_world, examples

if TYPE_CHECKING:
    from collections.abc import Iterable

    from papertape.engine.kernel.risk_settings import RiskSettings
    from papertape.engine.reducer.state import EngineState
    from papertape.engine.research.guarded import TapeEngine
    from papertape.engine.research.tape import Tape
    from papertape.projections.folds.fills import FillView

pytest.importorskip("numba", reason="the extra `research` is not installed: there is no compiled way to compare")

from papertape.engine.research.compiled_kernel import CompiledEngine

pytestmark = pytest.mark.system

SESSIONS = replace(NO_LIMITS, max_session_loss_percent=2.0, max_risk_per_trade_percent=10.0)
GLOBAL = replace(NO_LIMITS, global_max_loss_percent=1.0, max_risk_per_trade_percent=50.0)


def backtest_of(tape: Tape, risk: RiskSettings, engine: type[PlainEngine | CompiledEngine]) -> Backtest:
    settings = eager(["scripted", "momentum"], risk)
    world: EngineState = configured_world(tape.contracts, settings)
    made: TapeEngine = engine(world, tape)
    outcome = run_tape(world, made)
    events = configuration(STRATEGIES, tape.contracts, settings)
    return Backtest(made.name, tape, made.facts, events, world, outcome.decided, outcome.equities, [], 0.0)


def without_seq(fill: FillView) -> FillView:
    return replace(fill, seq=0)


def ending(events: Iterable[Any], numbered: bool) -> tuple[Any, ...]:
    """Everything a result shows of the end, without seqs."""
    portfolio = Portfolio()
    coverage = Coverage(portfolio)
    fold([portfolio, coverage], (Recorded(seq if numbered else 0, 0, 0, one) for seq, one in enumerate(events, 1)))
    view, names = portfolio.view(), tuple(portfolio.equity.ledger.accounts)
    shares = [coverage.of(name) for name in names]
    return (
        [replace(one, opened_seq=0, fills=tuple(map(without_seq, one.fills))) for one in view.positions],
        [replace(one, seq=0) for one in view.orders],
        [(one.strategy, one.cash_usdt, one.equity_usdt, one.unrealised_usdt, one.why) for one in view.accounts],
        [replace(one, trips=tuple(replace(trip, trip_seq=0) for trip in one.trips)) for one in shares],
        coverage.data(),
        view.at_ms,
    )


@examples(10)
@given(recipes(told_of=0.05), st.sampled_from([NO_LIMITS, SESSIONS, GLOBAL]))
def test_an_excerpt_ends_as_the_whole_run_does(recipe: Recipe, risk: RiskSettings) -> None:
    compile_once()
    # No file can say that a candle before the start came late.
    tape = market(replace(recipe, late_share=0.0 if recipe.warm_up else recipe.late_share))
    whole = backtest_of(tape, risk, PlainEngine)
    expected = ending((entry.event for group in whole.entries([]) for entry in group), numbered=True)
    assert ending(excerpt(whole), numbered=False) == expected
    assert ending(excerpt(backtest_of(tape, risk, CompiledEngine)), numbered=False) == expected


@examples(8)
@given(st.integers(0, 10**6), st.integers(60, 200))
def test_an_excerpt_ends_with_the_same_stops_targets_and_extremes_of_positions_in_parts(seed: int, count: int) -> None:
    tape = market(Recipe(seed, candles=count))
    settings = {NAME: RunnerSettings(risk=NO_LIMITS)}
    world = configured_world(tape.contracts, settings, laddered())
    engine = PlainEngine(world, tape)
    outcome = run_tape(world, engine)
    events = configuration(laddered(), tape.contracts, settings)
    run = Backtest(engine.name, tape, engine.facts, events, world, outcome.decided, outcome.equities, [], 0.0)
    expected = ending((entry.event for group in run.entries([]) for entry in group), numbered=True)
    assert ending(excerpt(run), numbered=False) == expected


def test_open_positions_pending_orders_and_trips_are_among_what_is_compared() -> None:
    found = [
        ending(excerpt(backtest_of(market(recipe), risk, PlainEngine)), numbered=False)
        for recipe in (Recipe(seed, symbols=3, holes=3, told_of=0.05, funding_minutes=30) for seed in (6, 8, 9))
        for risk in (NO_LIMITS, SESSIONS, GLOBAL)
    ]
    positions = [position for positions, *_ in found for position in positions]
    assert any(one.funding_usdt != 0.0 and one.best_usdt > 0.0 > one.worst_usdt for one in positions)
    assert any(orders for _, orders, *_ in found)
    assert any(share.trips for _, _, _, shares, *_ in found for share in shares)
    assert any(data.ends_early for *_, data_views, _ in found for data in data_views)


def test_a_world_without_runners_runs_over_nothing() -> None:
    tape = market(Recipe(1))
    for engine in (PlainEngine, CompiledEngine):
        world = new_state(STRATEGIES)
        outcome = run_tape(world, engine(world, tape))
        assert (outcome.decided, outcome.equities) == ([], [])
