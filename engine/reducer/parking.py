"""Park a strategy that failed, and let it go on.

A parked strategy is not asked and not shown anything; its entries and adds are cancelled, while its stops, targets,
funding and kill switch live on. What its own state was when a hook failed halfway does not matter: the state starts
from its beginning when the strategy is parked, and stays there until a human resumes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from papertape.engine.kernel.codes import STRATEGY_FAILED
from papertape.engine.kernel.kill_switch import cancel_entries
from papertape.engine.kernel.strategy import NoState
from papertape.engine.reducer.causes import record_decisions
from papertape.engine.reducer.state import restart_strategy
from papertape.events.facts import CONFIGURATION, RunnerResumed, StrategyFailed
from papertape.events.log import Entry

if TYPE_CHECKING:
    from papertape.engine.kernel.state import Fact
    from papertape.engine.reducer.state import EngineState, Runner

PAUSED_BY_HAND: Final = 1
PAUSED_BY_CONFIGURATION: Final = 2
PAUSED_TO_WARM_UP: Final = 3
"""Why an account is paused: `Account.paused`."""


def park(runner: Runner, event: StrategyFailed, seq: int) -> None:
    """Call no hook of a runner from now on, and put its strategy's state back to the beginning."""
    runner.failure, runner.failed_seq = event, seq
    runner.guard.muted, runner.guard.failure = True, None
    runner.warm_ms = 0
    restart_strategy(runner)


def park_runner(
    state: EngineState, runner: Runner, event: StrategyFailed | None, entries: list[Entry], seq: int
) -> None:
    """Park a runner whose hook failed on the input at `seq`; None means that none did."""
    if event is None:
        return
    failed_seq = seq + len(entries)
    entries.append(Entry(event, seq))
    park(runner, event, failed_seq)
    cancel_parked_entries(state, runner, event.at_ms, entries, seq)


def cancel_parked_entries(state: EngineState, runner: Runner, at_ms: int, entries: list[Entry], seq: int) -> None:
    """Cancel the pending entries and the adds of a runner that was just parked."""
    count = cancel_entries(STRATEGY_FAILED, at_ms, runner.account, runner.desks, runner.out, 0)
    record_decisions(state, runner, runner.out[:count], entries, seq)


def failure_event(state: EngineState, runner: Runner, fact: Fact) -> StrategyFailed | None:
    """Return the event of a hook that failed on a fact just now, None if none did."""
    failure = runner.guard.failure
    if failure is None:
        return None
    symbol = list(state.symbols)[fact.symbol]
    return StrategyFailed(fact.time_ms, runner.strategy.name, failure.hook, failure.place, failure.error, symbol)


def resume(runner: Runner, event: RunnerResumed) -> None:
    """End a pause. A human's resume also lets a parked strategy go on, with a state that begins now."""
    if runner.failure is not None and event.who != CONFIGURATION:
        runner.failure, runner.failed_seq = None, 0
        runner.guard.muted, runner.guard.failure = False, None
        restart_strategy(runner)
        runner.warm_ms = event.at_ms + warm_up_ms(runner)
    runner.account.paused = PAUSED_TO_WARM_UP if runner.warm_ms > event.at_ms else 0


def warm_up_ms(runner: Runner) -> int:
    """Return how long a strategy's own state needs from its beginning until it may enter, 0 if it keeps no state."""
    if runner.strategy.state is NoState:
        return 0
    main_ms, *others_ms = (one.timeframe_ms for one in runner.series)
    other_ms = max(others_ms, default=main_ms)
    return max((max(one.candles * main_ms, one.filter_candles * other_ms) for one in runner.needs), default=0)


def end_warm_up(runner: Runner, time_ms: int) -> None:
    """Let a resumed strategy enter again once its own state is old enough."""
    if time_ms >= runner.warm_ms:
        runner.warm_ms = 0
        if runner.account.paused == PAUSED_TO_WARM_UP:
            runner.account.paused = 0
