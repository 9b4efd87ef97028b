"""An event as a view: its type, the symbol and strategy it concerns, its text and its own fields by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from papertape.events.facts import EVENT_TYPES, Event, type_name
from papertape.projections.text.causes import ConditionView, ReadingView
from papertape.projections.text.event_lines import Contracts, Kind, event_line

if TYPE_CHECKING:
    from papertape.events.log import Recorded
    from papertape.projections.text.causes import CauseChain

TYPE_NAMES: tuple[str, ...] = tuple(sorted(map(type_name, EVENT_TYPES)))
"""The names of all event types."""


class EventView(Struct, frozen=True):
    """An event of the log. `cause` is the seq of the event that led to it, 0 for an input from outside.

    `symbol` and `strategy` are empty for an event that concerns none; a kill switch's scope counts as a strategy.
    """

    seq: int
    recorded_at_ms: int
    cause: int
    type: str
    at_ms: int
    symbol: str
    strategy: str
    kind: Kind
    text: str
    fields: dict[str, Any]


class CauseView(Struct, frozen=True):
    """One event of a chain of causes, with the readings and conditions of a decision."""

    event: EventView
    readings: tuple[ReadingView, ...]
    conditions: tuple[ConditionView, ...]
    note: str
    """Qualifies the conditions, for example if the strategy has changed since."""


class ChainView(Struct, frozen=True):
    """The chain from the requested event, first, to its root cause, last. `complete` is False if it was cut short."""

    links: tuple[CauseView, ...]
    complete: bool


def event_view(recorded: Recorded, contracts: Contracts) -> EventView:
    """Return the view of an event."""
    event, line = recorded.event, event_line(recorded, contracts)
    return EventView(
        seq=recorded.seq,
        recorded_at_ms=recorded.recorded_at_ms,
        cause=recorded.cause,
        type=type_name(event),
        at_ms=event.at_ms,
        symbol=symbol_of(event),
        strategy=strategy_of(event),
        kind=line.kind,
        text=line.text,
        fields={name: getattr(event, name) for name in event.__struct_fields__ if name != "at_ms"},
    )


def symbol_of(event: Event) -> str:
    """Return the symbol that an event concerns, or an empty string."""
    return getattr(event, "symbol", "")


def strategy_of(event: Event) -> str:
    """Return the strategy that an event concerns, or the scope of its kill switch, or an empty string."""
    return getattr(event, "strategy", "") or getattr(event, "scope", "")


def chain_view(chain: CauseChain, contracts: Contracts) -> ChainView:
    """Return the view of a chain of causes."""
    links = [
        CauseView(event_view(one.recorded, contracts), one.readings, one.conditions, one.note) for one in chain.links
    ]
    return ChainView(tuple(links), chain.complete)
