"""Why something happened: the chain of causes from an event back to the input it all came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from events.facts import OrderPlaced, OrderRejected
from events.log import Recorded
from projections.words import Contracts, Line, words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from events.facts import Event

CHAIN_LINKS_MAX = 64


class Condition(Struct, frozen=True):
    """One condition of a strategy as it stood at a decision: `value relation threshold`, met or not."""

    name: str
    value: float
    relation: str
    threshold: float
    met: bool


class Reading(Struct, frozen=True):
    """One number a decision was made on."""

    name: str
    value: float


class Link(Struct, frozen=True):
    """One event of the chain. Only orders have readings, and conditions where the strategy explains them."""

    recorded: Recorded
    line: Line
    readings: tuple[Reading, ...]
    conditions: tuple[Condition, ...]


class Chain(Struct, frozen=True):
    """From the event asked about, first, to its root cause, last. `complete` is False when it was cut short."""

    links: tuple[Link, ...]
    complete: bool


def why(
    seq: int,
    lookup: Callable[[int], Recorded],
    contracts: Contracts,
    explain: Callable[[OrderPlaced], Sequence[Condition]] | None = None,
) -> Chain:
    """The chain of the event at `seq`; `lookup` finds an event by its seq and raises what it raises.

    A cause lies before its effect: a chain that says otherwise, or is longer than `CHAIN_LINKS_MAX`, is cut.
    """
    links: list[Link] = []
    while len(links) < CHAIN_LINKS_MAX:
        recorded = lookup(seq)
        links.append(_link(recorded, contracts, explain))
        if recorded.cause == 0:
            return Chain(tuple(links), complete=True)
        if not 0 < recorded.cause < seq:
            break
        seq = recorded.cause
    return Chain(tuple(links), complete=False)


def _link(
    recorded: Recorded,
    contracts: Contracts,
    explain: Callable[[OrderPlaced], Sequence[Condition]] | None,
) -> Link:
    event = recorded.event
    conditions = tuple(explain(event)) if explain is not None and isinstance(event, OrderPlaced) else ()
    return Link(recorded, words(recorded, contracts), _readings(event), conditions)


def _readings(event: Event) -> tuple[Reading, ...]:
    if not isinstance(event, OrderPlaced | OrderRejected):
        return ()
    return tuple(Reading(name, value) for name, value in event.readings.items())
