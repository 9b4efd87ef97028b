"""Translate between the kernel's decisions, which hold numbers only, and the events of the log, which hold names.

Both have the same field names, so one table serves both directions. An event holds everything that applying its
decision again needs, to the last bit.
"""

from __future__ import annotations

from array import array
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from msgspec.structs import astuple

from papertape.engine.kernel.answers import rung_at
from papertape.engine.kernel.codes import (
    ADD,
    CHANGE,
    ENTRY,
    EXIT,
    FUNDING_PAID,
    KILL_SWITCH_TRIPPED,
    LIMIT_ORDER,
    LIQUIDATION,
    LONG,
    MARKET_ORDER,
    ORDER_CANCELLED,
    ORDER_PLACED,
    ORDER_REJECTED,
    POSITION_CLOSED,
    POSITION_INCREASED,
    POSITION_OPENED,
    POSITION_REDUCED,
    REDUCE,
    SHORT,
    SIGNAL,
    STOP_MOVED,
    STOP_ORDER,
    TARGET_ORDER,
    TARGETS_MOVED,
    reason_code,
    reason_names,
)
from papertape.events.facts import (
    Event,
    FundingPaid,
    KillSwitchTripped,
    Liquidated,
    OrderCancelled,
    OrderPlaced,
    OrderRejected,
    PlannedAdd,
    PositionClosed,
    PositionIncreased,
    PositionOpened,
    PositionReduced,
    StopMoved,
    Target,
    TargetsMoved,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from papertape.engine.kernel.answers import Ladder
    from papertape.engine.kernel.decision import Decision

DECISION_EVENTS: dict[int, type[Event]] = {
    FUNDING_PAID: FundingPaid,
    ORDER_PLACED: OrderPlaced,
    ORDER_REJECTED: OrderRejected,
    ORDER_CANCELLED: OrderCancelled,
    POSITION_OPENED: PositionOpened,
    POSITION_INCREASED: PositionIncreased,
    POSITION_REDUCED: PositionReduced,
    POSITION_CLOSED: PositionClosed,
    STOP_MOVED: StopMoved,
    TARGETS_MOVED: TargetsMoved,
    KILL_SWITCH_TRIPPED: KillSwitchTripped,
}
DECISION_KINDS: dict[type[Event], int] = {event: kind for kind, event in DECISION_EVENTS.items()}
DECISION_KINDS[Liquidated] = POSITION_CLOSED
SIDE_NAMES = {LONG: "long", SHORT: "short"}
SIDE_CODES = {name: code for code, name in SIDE_NAMES.items()}
ACTION_NAMES = {ENTRY: "entry", EXIT: "exit", ADD: "add", REDUCE: "reduce", TARGET_ORDER: "target", CHANGE: "change"}
ORDER_KIND_NAMES = {MARKET_ORDER: "market", LIMIT_ORDER: "limit", STOP_ORDER: "stop"}
NAMES: dict[str, dict[int, Any]] = {
    "side": SIDE_NAMES,
    "action": ACTION_NAMES,
    "kind": ORDER_KIND_NAMES,
    "ambiguous": {0: False, 1: True},
}
CODES = {field: {name: code for code, name in names.items()} for field, names in NAMES.items()}
SOURCES = {"readings": "reading", "strategy": "kind", "scope": "kind", "kind": "order_kind"}
"""Where a field of an event stands in a decision under another name, or something stands that is replaced."""
LADDERS = ("targets", "adds")
UNREAD = frozenset({"strategy", "symbol", "readings", "scope", "who", "why"})
"""Fields that applying a decision again does not need."""
OF_HUMANS = frozenset({"who", "why"})
"""Nobody stands behind a decision: these keep their defaults, and come last."""


def event_of(decision: Decision, strategy: str, symbol: str, exit_reasons: tuple[str, ...]) -> Event:
    """Return the event that a decision becomes. For a kill switch `strategy` is its scope."""
    kind = event_kind(decision.kind, decision.reason)
    values = list(_values_of(kind)(decision))
    for place, name in structured_fields(kind):
        value = values[place]
        if name == "readings":
            values[place] = readings_of(value.__struct_fields__, astuple(value))
        else:
            values[place] = rungs_of(name, [astuple(rung_at(value, k)) for k in range(value.count)])
    return event_from(kind, values, strategy, symbol, exit_reasons)


def event_kind(kind: int, reason: int) -> type[Event]:
    """Return the type of the event that a decision of this kind and reason becomes."""
    return Liquidated if kind == POSITION_CLOSED and reason == LIQUIDATION else DECISION_EVENTS[kind]


@cache
def sources_of(kind: type[Event]) -> tuple[str, ...]:
    """Return the fields of a decision that make an event of this kind, in the event's order."""
    return tuple(SOURCES.get(name, name) for name in kind.__struct_fields__ if name not in OF_HUMANS)


def event_from(
    kind: type[Event], values: list[Any], strategy: str, symbol: str, exit_reasons: tuple[str, ...]
) -> Event:
    """Return the event made of the values of a decision's `sources_of(kind)`, with names in place of numbers."""
    for place, names in names_of(kind, exit_reasons).items():
        values[place] = names[values[place]]
    values[1] = strategy
    if kind is not KillSwitchTripped:
        values[2] = symbol
    return kind(*values)


@cache
def structured_fields(kind: type[Event]) -> tuple[tuple[int, str], ...]:
    """Return the fields of an event that are more than one number, with their positions: readings and ladders."""
    return tuple((k, name) for k, name in enumerate(kind.__struct_fields__) if name == "readings" or name in LADDERS)


@cache
def _values_of(kind: type[Event]) -> Callable[[Decision], tuple[Any, ...]]:
    """Return a getter of an event's values from a decision."""
    return attrgetter(*sources_of(kind))


@cache
def names_of(kind: type[Event], exit_reasons: tuple[str, ...]) -> dict[int, Mapping[int, Any]]:
    """Return the positions of an event's fields that are numbers in a decision, each with the names of its numbers."""
    names = NAMES | {"reason": reason_names(exit_reasons)}
    return {place: names[name] for place, name in enumerate(kind.__struct_fields__) if name in names}


def readings_of(names: tuple[str, ...], values: Iterable[float]) -> dict[str, float]:
    """Return the numbers behind a decision by name, without non-finite ones."""
    numbers, undefined = array("d", values), 0.0
    for value in numbers:
        undefined += value - value  # NaN for one that is not finite.
    if undefined == 0.0:
        return dict(zip(names, numbers, strict=True))
    return {name: value for name, value in zip(names, numbers, strict=True) if value - value == 0.0}


def rungs_of(name: str, rungs: Iterable[tuple[Any, ...]]) -> tuple[Target, ...] | tuple[PlannedAdd, ...]:
    """Return the rungs of a ladder, given as tuples of the fields of `Rung`, as an event holds them."""
    if name == "targets":
        return tuple([Target(price, fraction, size) for _, _, price, fraction, size, _, _ in rungs])
    return tuple(
        PlannedAdd(ORDER_KIND_NAMES[kind], price, size, candles)  # type: ignore[arg-type]
        for _, kind, price, _, size, candles, _ in rungs
    )


def decision_of(event: Event, symbol: int, exit_reasons: tuple[str, ...], decision: Decision) -> None:
    """Write an event's numbers into `decision`, so that `evolve` can apply it again."""
    decision.kind = DECISION_KINDS[type(event)]
    decision.symbol = symbol
    decision.reason = SIGNAL
    for name in event.__struct_fields__:
        value = getattr(event, name)
        if name == "reason":
            decision.reason = reason_code(value, exit_reasons)
        elif name in LADDERS:
            _write_ladder(getattr(decision, name), value)
        elif name in CODES:
            setattr(decision, SOURCES.get(name, name), CODES[name][value])
        elif name not in UNREAD:
            setattr(decision, name, value)


def _write_ladder(ladder: Ladder, rungs: tuple[Target, ...] | tuple[PlannedAdd, ...]) -> None:
    """Write the rungs of an event into a decision's ladder."""
    ladder.count = len(rungs)
    for k, source in enumerate(rungs):
        rung = rung_at(ladder, k)
        match source:
            case Target():
                rung.price_usdt, rung.fraction, rung.size = source.price_usdt, source.fraction, source.part
            case PlannedAdd():
                rung.kind, rung.price_usdt, rung.size = CODES["kind"][source.kind], source.price_usdt, source.size
                rung.expires_candles = source.expires_candles
