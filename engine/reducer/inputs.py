"""Configuration and commands: the inputs that are not market facts, and what they change.

Both paths through the log come here: `decide` with a new input, `apply` with a recorded one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.engine.kernel.codes import ENDED, EXIT, SUSPENDED, TRADABLE
from papertape.engine.kernel.decision import Decision
from papertape.engine.kernel.evolve import reset_account
from papertape.engine.kernel.kill_switch import reset_global
from papertape.engine.kernel.signals import note_signal
from papertape.engine.reducer.decision_events import decision_of
from papertape.engine.reducer.delisting import is_delisted
from papertape.engine.reducer.parking import PAUSED_BY_CONFIGURATION, PAUSED_BY_HAND, park, resume
from papertape.engine.reducer.signals import check_signal, remember_signal
from papertape.engine.reducer.state import apply_global_trip, configure_runner, list_contract
from papertape.events.errors import CommandRefused
from papertape.events.facts import (
    CONFIGURATION,
    GLOBAL_SCOPE,
    CloseRequested,
    ContractDelisted,
    ContractListed,
    Event,
    FeedConnected,
    KillSwitchReset,
    KillSwitchTripped,
    RunnerConfigured,
    RunnerPaused,
    RunnerResumed,
    SignalReceived,
    StrategyFailed,
    StudyPromoted,
    SymbolResumed,
    SymbolSuspended,
)

if TYPE_CHECKING:
    from papertape.engine.reducer.state import EngineState


def apply_input(state: EngineState, event: Event, seq: int) -> None:
    """Apply an input that is not a market fact."""
    match event:
        case ContractListed():
            list_contract(state, event)
        case RunnerConfigured():
            configure_runner(state, event)
            _end_other_promise(state, event)
        case StudyPromoted():
            state.promises[event.strategy] = event
        case FeedConnected():
            state.anchor = event
        case RunnerPaused():
            paused = PAUSED_BY_CONFIGURATION if event.who == CONFIGURATION else PAUSED_BY_HAND
            state.runner(event.strategy).account.paused = paused
        case RunnerResumed():
            resume(state.runner(event.strategy), event)
        case StrategyFailed():
            park(state.runner(event.strategy), event, seq)
        case SymbolSuspended():
            _set_tradable(state, event.symbol, SUSPENDED)
        case SymbolResumed():
            _set_tradable(state, event.symbol, TRADABLE)
        case ContractDelisted():
            _set_tradable(state, event.symbol, ENDED)
        case CloseRequested():
            _check_position(state, event)
        case SignalReceived():
            _apply_signal(state, event)
        case KillSwitchTripped():
            if active_trip_seq(state, event.scope) != 0:
                raise CommandRefused(f"{event.scope}: its kill switch is tripped already")
            apply_trip(state, event, seq)
        case KillSwitchReset():
            apply_reset(state, event)
        case _:
            pass


def _apply_signal(state: EngineState, event: SignalReceived) -> None:
    """Remember a signal, and show it to the runners that read it. Raise CommandRefused if it contradicts another."""
    check_signal(state.signals, event)
    remember_signal(state.signals, event)
    symbol = state.symbols[event.symbol]
    for runner in state.runners:
        if event.name in runner.strategy.signals:
            place = runner.strategy.signals.index(event.name)
            note_signal(runner.signals[symbol][place], event.value, event.at_ms)


def _end_other_promise(state: EngineState, event: RunnerConfigured) -> None:
    """Forget what a study promised for other parameters than those that apply now."""
    promise = state.promises.get(event.strategy)
    if promise is not None and promise.parameters != event.parameters:
        del state.promises[event.strategy]


def _set_tradable(state: EngineState, symbol: str, tradable: int) -> None:
    """Set whether a symbol is tradable; one that waits for its contract has no market yet and is skipped."""
    if symbol in state.symbols:
        state.markets[state.symbols[symbol]].suspended = tradable


def _check_position(state: EngineState, event: CloseRequested) -> None:
    """Raise CommandRefused if there is no position to close, or if it is being closed already."""
    runner, symbol = state.runner(event.strategy), state.symbols.get(event.symbol)
    desk = None if symbol is None else runner.desks[symbol]
    if desk is None or desk.position.side == 0:
        raise CommandRefused(f"{event.strategy} holds no position in {event.symbol}")
    if desk.order.action == EXIT and not is_delisted(state, state.symbols[event.symbol]):
        raise CommandRefused(f"{event.strategy} closes {event.symbol} at the next open already")


def apply_trip(state: EngineState, event: KillSwitchTripped, seq: int) -> None:
    """Trip the kill switch of one strategy, or of every strategy that is not stopped already.

    A strategy that only the global switch stops can have a trip of its own on top of it.
    """
    decision = Decision()
    decision_of(event, 0, (), decision)
    if event.scope == GLOBAL_SCOPE:
        state.guard.tripped = decision.reason
        state.guard_trip_seq = seq
        stopped = [runner for runner in state.runners if runner.account.tripped == 0]
    else:
        stopped = [state.runner(event.scope)]
    for runner in stopped:
        runner.account.tripped = decision.reason
        runner.trip_seq = seq


def apply_reset(state: EngineState, event: KillSwitchReset) -> None:
    """End the trip that a reset names. Raise CommandRefused if that is not the active one."""
    standing = active_trip_seq(state, event.scope)
    if standing == 0:
        raise CommandRefused(f"{event.scope}: no kill switch is tripped, there is nothing to reset")
    if standing != event.trip_seq:
        raise CommandRefused(
            f"{event.scope}: the trip at seq {event.trip_seq} is over; the one that stands is {standing}"
        )
    if event.scope != GLOBAL_SCOPE:
        reset_account(state.runner(event.scope).account)
        apply_global_trip(state, state.runner(event.scope))
        return
    for runner in state.runners:
        if runner.account.tripped != 0 and runner.trip_seq == event.trip_seq:
            reset_account(runner.account)
    reset_global(state.guard, state.maxima)


def active_trip_seq(state: EngineState, scope: str) -> int:
    """Return the seq of a scope's active trip, 0 if none. A strategy that only the global switch stops has none."""
    if scope == GLOBAL_SCOPE:
        return state.guard_trip_seq if state.guard.tripped != 0 else 0
    runner = state.runner(scope)
    own = runner.account.tripped != 0 and runner.trip_seq != state.guard_trip_seq
    return runner.trip_seq if own else 0
