"""Between the kernel's decisions, numbers only, and the events of the log, with names.

The two carry the same field names, so the way there and back is one table. What a decision needs to be
applied again is in its event, to the last bit.
"""

from __future__ import annotations

from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from msgspec.structs import astuple

from engine.core.codes import (
    ENTRY,
    EXIT,
    FUNDING_PAID,
    KILL_SWITCH_TRIPPED,
    LIQUIDATION,
    LONG,
    ORDER_CANCELLED,
    ORDER_PLACED,
    ORDER_REJECTED,
    POSITION_CLOSED,
    POSITION_OPENED,
    SHORT,
    SIGNAL,
    reason_code,
    reason_name,
)
from events.facts import (
    Event,
    FundingPaid,
    KillSwitchTripped,
    Liquidated,
    OrderCancelled,
    OrderPlaced,
    OrderRejected,
    PositionClosed,
    PositionOpened,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.core.state import Decision

DECISION_EVENTS: dict[int, type[Event]] = {
    FUNDING_PAID: FundingPaid,
    ORDER_PLACED: OrderPlaced,
    ORDER_REJECTED: OrderRejected,
    ORDER_CANCELLED: OrderCancelled,
    POSITION_OPENED: PositionOpened,
    POSITION_CLOSED: PositionClosed,
    KILL_SWITCH_TRIPPED: KillSwitchTripped,
}
DECISION_KINDS: dict[type[Event], int] = {event: kind for kind, event in DECISION_EVENTS.items()}
DECISION_KINDS[Liquidated] = POSITION_CLOSED
SIDE_NAMES = {LONG: "long", SHORT: "short"}
SIDE_CODES = {name: code for code, name in SIDE_NAMES.items()}
ACTION_NAMES = {ENTRY: "entry", EXIT: "exit"}
ACTION_CODES = {name: code for code, name in ACTION_NAMES.items()}
NAMES: dict[str, dict[int, Any]] = {
    "side": SIDE_NAMES,
    "action": ACTION_NAMES,
    "ambiguous": {0: False, 1: True},
}
SOURCES = {"readings": "reading", "strategy": "kind", "scope": "kind"}
"""Where a field of an event stands in a decision under another name, or something stands that is replaced."""
NAMED = frozenset({"strategy", "symbol", "side", "reason", "action", "readings", "scope", "ambiguous", "who", "why"})
OF_HUMANS = frozenset({"who", "why"})
"""Nobody stands behind a decision: these keep their defaults, and come last."""


def event_of(decision: Decision, strategy: str, symbol: str, exit_reasons: tuple[str, ...]) -> Event:
    """The event a decision becomes. For a kill switch `strategy` is its scope."""
    kind = DECISION_EVENTS[decision.kind]
    if decision.kind == POSITION_CLOSED and decision.reason == LIQUIDATION:
        kind = Liquidated
    values_of, named = _fields(kind)
    values: list[Any] = list(values_of(decision))
    for place, name in named:
        if name in NAMES:
            values[place] = NAMES[name][values[place]]
        elif name == "reason":
            values[place] = reason_name(values[place], exit_reasons)
        elif name == "readings":
            values[place] = _readings(values[place])
        else:
            values[place] = symbol if name == "symbol" else strategy
    return kind(*values)


@cache
def _fields(kind: type[Event]) -> tuple[Callable[[Decision], tuple[Any, ...]], tuple[tuple[int, str], ...]]:
    """What takes an event's fields out of a decision, and the places of those that are names in the log."""
    fields = tuple(name for name in kind.__struct_fields__ if name not in OF_HUMANS)
    named = tuple((place, name) for place, name in enumerate(fields) if name in NAMED)
    return attrgetter(*(SOURCES.get(name, name) for name in fields)), named


def _readings(reading: Any) -> dict[str, float]:
    """The numbers behind a decision, by name."""
    return dict(zip(reading.__struct_fields__, map(float, astuple(reading)), strict=True))


def decision_of(event: Event, symbol: int, exit_reasons: tuple[str, ...], decision: Decision) -> None:
    """Write an event's numbers into `decision`, so that `evolve` can apply it again."""
    decision.kind = DECISION_KINDS[type(event)]
    decision.symbol = symbol
    decision.reason = SIGNAL
    for name in event.__struct_fields__:
        value = getattr(event, name)
        if name not in NAMED:
            setattr(decision, name, value)
        elif name == "side":
            decision.side = SIDE_CODES[value]
        elif name == "action":
            decision.action = ACTION_CODES[value]
        elif name == "reason":
            decision.reason = reason_code(value, exit_reasons)
        elif name == "ambiguous":
            decision.ambiguous = 1 if value else 0
