"""Why something happened: the chain of causes from an event back to the input it all came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeGuard

from msgspec import Struct
from msgspec.structs import replace

from papertape.events.facts import OrderPlaced, OrderRejected, RunnerConfigured
from papertape.events.log import Recorded
from papertape.projections.text.event_lines import Contracts, EventLine, event_line

if TYPE_CHECKING:
    from papertape.events.facts import Event

CHAIN_LINKS_MAX = 64


class ConditionView(Struct, frozen=True):
    """One condition of a strategy as it stood at a decision: `value relation threshold`, met or not."""

    name: str
    value: float
    relation: str
    threshold: float
    met: bool


InForce = Callable[[str, int], RunnerConfigured | None]
"""Which configuration a strategy ran under when an event was decided."""
Explain = Callable[[OrderPlaced | OrderRejected, RunnerConfigured | None], tuple[Sequence[ConditionView], str]]
"""The conditions of an entry under a configuration, and what is to be said of them."""


class ReadingView(Struct, frozen=True):
    """One number a decision was made on."""

    name: str
    value: float


class CauseLink(Struct, frozen=True):
    """One event of the chain. Only orders have readings, and conditions where the strategy explains them.

    `note` is what is to be said of the conditions, as that the code was changed since; mostly nothing.
    """

    recorded: Recorded
    line: EventLine
    readings: tuple[ReadingView, ...]
    conditions: tuple[ConditionView, ...] = ()
    note: str = ""


class CauseChain(Struct, frozen=True):
    """From the event asked about, first, to its root cause, last. `complete` is False when it was cut short."""

    links: tuple[CauseLink, ...]
    complete: bool


def cause_chain(seq: int, lookup: Callable[[int], Recorded], contracts: Contracts) -> CauseChain:
    """The chain of the event at `seq`; `lookup` finds an event by its seq and raises what it raises.

    A cause lies before its effect: a chain that says otherwise, or is longer than `CHAIN_LINKS_MAX`, is cut.
    """
    links: list[CauseLink] = []
    while len(links) < CHAIN_LINKS_MAX:
        recorded = lookup(seq)
        links.append(CauseLink(recorded, event_line(recorded, contracts), _readings(recorded.event)))
        if recorded.cause == 0:
            return CauseChain(tuple(links), complete=True)
        if not 0 < recorded.cause < seq:
            break
        seq = recorded.cause
    return CauseChain(tuple(links), complete=False)


def explain_chain(chain: CauseChain, in_force: InForce, explain: Explain) -> CauseChain:
    """A chain with the conditions of its decided entries."""
    return replace(chain, links=tuple(_explained(link, in_force, explain) for link in chain.links))


def _explained(link: CauseLink, in_force: InForce, explain: Explain) -> CauseLink:
    event = link.recorded.event
    if not is_entry(event):
        return link
    conditions, note = explain(event, in_force(event.strategy, link.recorded.seq))
    return replace(link, conditions=tuple(conditions), note=note)


def is_entry(event: Event) -> TypeGuard[OrderPlaced | OrderRejected]:
    """Whether an event is a decided entry, placed or refused: what conditions are shown for."""
    return isinstance(event, OrderRejected) or (isinstance(event, OrderPlaced) and event.action == "entry")


def _readings(event: Event) -> tuple[ReadingView, ...]:
    if not isinstance(event, OrderPlaced | OrderRejected):
        return ()
    return tuple(ReadingView(name, value) for name, value in event.readings.items())
