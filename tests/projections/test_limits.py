"""The limits have the same bases as the kernel's: over whole runs, and by hand after resets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from papertape.engine.kernel.codes import ENTRY
from papertape.engine.reducer.reducer import total_equity
from papertape.engine.runner_settings import RunnerSettings
from papertape.events.facts import KillSwitchReset, KillSwitchTripped
from papertape.projections.folds.limits import Limits
from papertape.projections.folds.portfolio import Portfolio
from tests.build import candle, listed
from tests.kernel.scenario import BUY
from tests.reducer.random_market import Recipe, market
from tests.reducer.runs import TWO, begin, eager
from tests.support import NO_LIMITS, STRATEGIES, examples, feed, take

if TYPE_CHECKING:
    from papertape.engine.reducer.state import EngineState
    from papertape.events.log import Recorded

RISK = replace(NO_LIMITS, max_session_loss_percent=60.0, max_daily_loss_percent=40.0, global_window_hours=3)


class Watched:
    """The folds beside the kernel that they are compared with."""

    def __init__(self) -> None:
        self.portfolio = Portfolio()
        self.limits = Limits(self.portfolio)
        self._seq = 0

    def fold(self, log: list[Recorded]) -> None:
        for recorded in log[self._seq :]:
            self.portfolio.apply(recorded)
            self.limits.apply(recorded)
        self._seq = len(log)

    def used(self, scope: str, name: str) -> float:
        return next(one.used for one in self.limits.views() if (one.scope, one.name) == (scope, name))


def loss(base: float, equity: float) -> Any:
    return pytest.approx(max(0.0, base - equity), abs=1e-6)


def assert_measured_alike(watched: Watched, world: EngineState) -> None:
    for runner in world.runners:
        name, account = runner.strategy.name, runner.account
        assert watched.used(name, "session loss") == loss(account.session_base_usdt, account.equity_usdt)
        assert watched.used(name, "daily loss") == loss(account.day_base_usdt, account.equity_usdt)
        pending = sum(desk.order.action == ENTRY for desk in runner.desks)
        assert watched.used(name, "positions") == account.positions + pending
    assert watched.used("global", "global loss") == loss(world.guard.peak_usdt, total_equity(world))


@given(
    st.builds(Recipe, seed=st.integers(0, 2**32), symbols=st.integers(1, 2), candles=st.just(600), told_of=st.just(0.1))
)
@examples(6)
def test_used_limits_equal_the_kernels_throughout_a_run(recipe: Recipe) -> None:
    tape, watched = market(recipe), Watched()
    run = begin(tape.contracts, eager(tuple(TWO), RISK), TWO)
    for count, event in enumerate(tape.events()):
        take(run.world, run.log, event)
        if count % 37 == 0:
            watched.fold(run.log)
            assert_measured_alike(watched, run.world)


def test_a_reset_restarts_session_and_day_and_a_global_reset_the_window() -> None:
    run, watched = begin([listed("X")], {"scripted": RunnerSettings(risk=RISK)}, STRATEGIES), Watched()
    prices = (100.0, 100.0, 99.5, 99.2)
    feed(
        run.world,
        run.log,
        [candle(minute, price, "X", volume=BUY if minute == 0 else 1.0) for minute, price in enumerate(prices)],
    )
    at_ms = run.log[-1].event.at_ms
    take(run.world, run.log, KillSwitchTripped(at_ms, "global", "manual", 1.0, 1.0, 1.0, 0.0, "anna", "odd"))
    watched.fold(run.log)
    assert watched.used("global", "global loss") > 0.0
    take(run.world, run.log, KillSwitchReset(at_ms, "global", run.world.guard_trip_seq, "anna", "fine"))
    watched.fold(run.log)
    assert watched.used("global", "global loss") == 0.0
    assert watched.used("scripted", "session loss") == 0.0
    take(run.world, run.log, candle(4, 99.1, "X"))
    watched.fold(run.log)
    assert_measured_alike(watched, run.world)
    assert watched.used("scripted", "daily loss") > 0.0
