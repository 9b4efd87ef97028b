"""Turn decisions into entries of the log: each names the event that led to it, by its seq."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never, get_args

from papertape.engine.reducer.decision_events import event_of
from papertape.engine.reducer.state import ORDER_SLOTS
from papertape.events.facts import (
    CancelReason,
    Event,
    KillSwitchTripped,
    OrderCancelled,
    OrderPlaced,
    PositionClosed,
    PositionIncreased,
    PositionOpened,
    PositionReduced,
    StopReason,
    TargetReason,
)
from papertape.events.log import Entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.engine.kernel.decision import Decision
    from papertape.engine.reducer.state import EngineState, Runner

REDUCE_SLOT = ORDER_SLOTS - 1
ENDS_WITHOUT_ORDER = frozenset({*get_args(StopReason), *get_args(TargetReason), "delisted"})


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


def cause_of(event: Event, seq: int, order_seq: Sequence[int], trip_seq: int, failed_seq: int) -> int:
    """Return the seq of the cause of a decision on the input at `seq`.

    An order causes its fill, and what cancels it for its own sake; a trip or a failure of the strategy causes what it
    cancels; the input causes everything else, also the fills of stops and targets. `order_seq` has the orders of the
    symbol by their slot.
    """
    match event:
        case OrderCancelled(reason=reason):
            return _cause_of_cancellation(event, reason, seq, order_seq, trip_seq, failed_seq)
        case PositionOpened():
            return order_seq[0]
        case PositionIncreased():
            return order_seq[event.rung]
        case PositionReduced(reason="reduced") | PositionClosed(reason="reduced"):
            return order_seq[REDUCE_SLOT]
        case PositionClosed(reason=reason) if reason not in ENDS_WITHOUT_ORDER:
            return order_seq[0]
        case _:
            return seq


def _cause_of_cancellation(
    event: OrderCancelled, reason: CancelReason, seq: int, order_seq: Sequence[int], trip_seq: int, failed_seq: int
) -> int:
    """Return the seq of what cancelled an order."""
    match reason:
        case "kill_switch":
            return trip_seq
        case "strategy_failed":
            return failed_seq
        case "not_tradable" | "paused" | "replaced" | "position_closed":
            return seq
        case "next_candle_missing" | "late_candle" | "margin" | "expired" | "below_minimum" | "stop_beyond_liquidation":
            return seq if event.action == "target" else order_seq[slot_of(event)]
        case _:
            assert_never(reason)


def slot_of(event: OrderPlaced | OrderCancelled) -> int:
    """Return the slot of an order among those of its symbol."""
    if event.action == "add":
        return event.rung
    return REDUCE_SLOT if event.action == "reduce" else 0


def record_cause(runner: Runner, event: Event, symbol: int, seq: int) -> None:
    """Remember an event that later ones will name as their cause."""
    if isinstance(event, OrderPlaced):
        runner.order_seq[symbol][slot_of(event)] = seq
    elif isinstance(event, KillSwitchTripped):
        runner.trip_seq = seq
