"""Apply the recorded decisions of a runner, without deciding anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.engine.kernel.codes import DELISTED, NO_REASON, REASON_CODES
from papertape.engine.kernel.decide import mark_symbol, mark_to_market
from papertape.engine.kernel.evolve import evolve
from papertape.engine.kernel.kill_switch import roll_day
from papertape.engine.kernel.trailing import comes_after_fills, follow_symbol
from papertape.engine.reducer.causes import record_cause
from papertape.engine.reducer.decision_events import DECISION_KINDS, decision_of
from papertape.engine.reducer.inputs import apply_trip
from papertape.engine.reducer.state import exit_reason_code
from papertape.events.facts import Event, GapFound, KillSwitchTripped, OrderCancelled, StrategyFailed
from papertape.events.log import Entry, Recorded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.engine.kernel.state import Fact
    from papertape.engine.reducer.state import EngineState, Runner


def apply_runner(state: EngineState, runner: Runner, fact: Fact, recorded: Sequence[Recorded]) -> list[Entry]:
    """Apply all that a runner whose strategy cannot be asked decided on a candle; return it unchanged."""
    roll_day(runner.account, fact.open_time_ms)
    followed = False
    for item in recorded:
        if not followed and strategy_past_fills(item.event) is not None:
            followed = True
            follow_candle(state, runner, fact)
        apply_decision(state, item)
    if not followed:
        follow_candle(state, runner, fact)
    mark_account(runner, fact)
    return [Entry(item.event, item.cause) for item in recorded]


def strategy_past_fills(event: Event) -> str | None:
    """Return the strategy that decided an event after the fills of its candle, None if it was no such decision."""
    if type(event) not in DECISION_KINDS or isinstance(event, KillSwitchTripped):
        return None
    reason = REASON_CODES[event.reason] if isinstance(event, OrderCancelled) else NO_REASON
    return event.strategy if comes_after_fills(DECISION_KINDS[type(event)], reason) else None  # type: ignore[attr-defined]


def follow_candle(state: EngineState, runner: Runner, fact: Fact) -> None:
    """Take a candle into a runner's position after its fills, as `decide` does."""
    symbol = fact.symbol
    if runner.active[symbol]:
        candle = runner.series[0].views[symbol].candle
        follow_symbol(fact, candle, runner.desks[symbol], runner.rules, state.contracts[symbol])


def apply_decision(state: EngineState, recorded: Recorded) -> None:
    """Apply one recorded decision. What parked a strategy was applied with the input."""
    event = recorded.event
    if isinstance(event, GapFound | StrategyFailed):
        return
    if isinstance(event, KillSwitchTripped):
        apply_trip(state, event, recorded.seq)
        return
    runner = state.runner(event.strategy)  # type: ignore[attr-defined]
    symbol = state.symbols[event.symbol]  # type: ignore[attr-defined]
    decision = runner.out[0]
    reason = getattr(event, "reason", "signal")
    if reason not in REASON_CODES:
        exit_reason_code(runner, reason)
    decision_of(event, symbol, runner.exit_reasons, decision)
    evolve(runner.desks[symbol], runner.account, decision)
    if decision.reason == DELISTED:  # No later candle in this group revalues the account.
        mark_to_market(runner.account, runner.desks)
    record_cause(runner, event, symbol, recorded.seq)


def mark_account(runner: Runner, fact: Fact) -> None:
    """Mark one account to market after a candle."""
    mark_symbol(fact, runner.desks[fact.symbol])
    mark_to_market(runner.account, runner.desks)
