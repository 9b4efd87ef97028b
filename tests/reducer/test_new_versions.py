"""A runner whose strategy's file has changed goes on with the new version, and with its account and its orders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict, replace

from papertape.engine.kernel.codes import FIRST_EXIT_REASON
from papertape.engine.reducer.reducer import fold
from papertape.engine.reducer.state import new_state
from papertape.engine.runner_settings import RunnerSettings
from papertape.events.facts import OrderPlaced, PositionClosed, RunnerResumed, SignalReceived, StrategyFailed
from tests.build import BTC, DAY_0_MS, GALA, listed
from tests.kernel.fragile import fragile
from tests.reducer.fragile_runs import BOTH, CALM, FRAGILE, told
from tests.reducer.runs import Run, begin
from tests.support import NO_LIMITS, state_of, take

if TYPE_CHECKING:
    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.reducer.state import Runner


def running() -> Run:
    """The fragile strategy alone on two symbols, three candles in."""
    run = begin([listed(BTC), listed(GALA)], {"fragile": RunnerSettings(risk=NO_LIMITS)}, BOTH)
    for number in range(3):
        told(run, number, CALM)
        told(run, number, CALM, GALA)
    return run


def renewed(run: Run, **changes: Any) -> Runner:
    """The runner after its strategy has changed."""
    return with_version(run, replace(FRAGILE, **changes))


def with_version(run: Run, strategy: Strategy) -> Runner:
    run.world.strategies = {**BOTH, "fragile": strategy}
    runner = run.world.runner("fragile")
    take(run.world, run.log, runner.configured)
    return runner


def test_it_begins_with_a_state_of_its_own_and_keeps_its_position() -> None:
    run = running()
    told(run, 3, fragile.BUY)
    told(run, 4, CALM)
    position = asdict(run.world.runner("fragile").desks[0].position)
    runner = renewed(run, about="another version")
    assert [state.seen for state in runner.states] == [0, 0]
    assert asdict(runner.desks[0].position) == position
    told(run, 5, CALM)
    assert runner.states[0].seen == 1


def test_it_is_asked_on_the_candles_of_its_new_series() -> None:
    run = running()
    renewed(run, series=("5m",), needs_bars=1)
    asked = [number for number in range(3, 10) if orders(told(run, number, fragile.BUY if number % 5 == 4 else 0.0))]
    assert asked == [9], "the first five minutes began before it read them"


def orders(events: list[Any]) -> list[OrderPlaced]:
    return [event for event in events if isinstance(event, OrderPlaced)]


def test_it_knows_the_last_signal_of_a_name_that_it_lists_only_now() -> None:
    run = running()
    take(run.world, run.log, SignalReceived(DAY_0_MS + 3 * 60_000, BTC, "trend", 7.0, "api", "a"))
    runner = renewed(run, signals=("trend",))
    assert [[(one.value, one.time_ms > 0) for one in signals] for signals in runner.signals] == [
        [(7.0, True)],
        [(0.0, False)],
    ]
    assert orders(told(run, 3, fragile.BUY, BTC))
    assert not orders(told(run, 3, fragile.BUY, GALA)), "no signal of it has arrived"


def test_it_looks_at_its_new_references() -> None:
    run = running()
    runner = renewed(run, references=(("leader", GALA),))
    told(run, 3, CALM, GALA)
    assert [state.seen for state in runner.states] == [1, 1], "BTC was shown the candle of its leader"


def test_a_parked_one_stays_parked_until_it_is_resumed() -> None:
    run = running()
    told(run, 3, fragile.FAIL_OBSERVING)
    runner = renewed(run, about="mended")
    assert not orders(told(run, 4, fragile.BUY))
    assert isinstance(runner.failure, StrategyFailed)
    assert runner.states[0].seen == 0
    take(run.world, run.log, RunnerResumed(DAY_0_MS + 5 * 60_000, "fragile", "anna", "mended"))
    told(run, 5, CALM)
    assert runner.states[0].seen == 1


def test_a_pending_exit_keeps_its_reason() -> None:
    for reasons in (("other", "told"), ()):
        run = running()
        for number, volume in enumerate((fragile.BUY, CALM, fragile.LEAVE), start=3):
            told(run, number, volume)
        renewed(run, exit_reasons=reasons)
        (closed,) = told(run, 6, CALM)
        assert isinstance(closed, PositionClosed)
        assert closed.reason == "told"


def test_it_knows_its_last_exit_by_its_own_list_of_reasons() -> None:
    """As the log does that is folded with the new version alone."""
    run = running()
    for number, volume in enumerate((fragile.BUY, CALM, fragile.LEAVE, CALM, fragile.FAIL_OBSERVING), start=3):
        told(run, number, volume)
    runner = renewed(run, exit_reasons=("other", "told"))
    take(run.world, run.log, RunnerResumed(DAY_0_MS + 8 * 60_000, "fragile", "anna", "mended"))
    assert runner.exit_reasons[runner.desks[0].last_exit_reason - FIRST_EXIT_REASON] == "told"
    followed = new_state({**BOTH, "fragile": runner.strategy})
    fold(followed, run.log)
    assert state_of(followed) == state_of(run.world)


def test_new_limits_change_the_free_slots() -> None:
    run = running()
    told(run, 3, fragile.BUY)
    runner = run.world.runner("fragile")
    for limit, free in ((7, 6), (1, 0)):
        risk = {**runner.configured.risk, "max_concurrent_positions": limit}
        take(run.world, run.log, replace(runner.configured, risk=risk))
        assert runner.account.free_slots == free
