"""Turn a runner's decisions into entries of the log, each with the seq of its cause."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from papertape.engine.reducer.decision_events import event_of
from papertape.events.facts import (
    Event,
    KillSwitchTripped,
    OrderCancelled,
    OrderPlaced,
    PositionClosed,
    PositionOpened,
)
from papertape.events.log import Entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.engine.kernel.state import Decision
    from papertape.engine.reducer.state import EngineState, Runner


def record_decisions(
    state: EngineState, runner: Runner, decisions: Sequence[Decision], entries: list[Entry], seq: int
) -> None:
    """Append a runner's decisions as events, each with the seq of its cause."""
    names = list(state.symbols)
    for decision in decisions:
        event = event_of(decision, runner.strategy.name, names[decision.symbol], runner.exit_reasons)
        cause = cause_of(event, seq, runner.order_seq[decision.symbol], runner.trip_seq, runner.failed_seq)
        record_cause(runner, event, decision.symbol, seq + len(entries))
        entries.append(Entry(event, cause))


def cause_of(event: Event, seq: int, order_seq: int, trip_seq: int, failed_seq: int) -> int:
    """Return the seq of the cause of a decision on the input at `seq`.

    An order causes its fill; an order, a trip or a failed strategy causes a cancelled entry; the input causes
    everything else.
    """
    if isinstance(event, OrderCancelled):
        match event.reason:
            case "kill_switch":
                return trip_seq
            case "strategy_failed":
                return failed_seq
            case "not_tradable":
                return seq
            case "next_candle_missing" | "late_candle" | "margin":
                return order_seq
            case _:
                assert_never(event.reason)
    if isinstance(event, PositionOpened):
        return order_seq
    if isinstance(event, PositionClosed) and event.reason not in ("stop", "target", "delisted"):
        return order_seq
    return seq


def record_cause(runner: Runner, event: Event, symbol: int, seq: int) -> None:
    """Remember an event that later ones will name as their cause."""
    if isinstance(event, OrderPlaced):
        runner.order_seq[symbol] = seq
    elif isinstance(event, KillSwitchTripped):
        runner.trip_seq = seq
