"""Why something happened: the chain of causes from an event back to the input that started it."""

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
    """One condition of a strategy as it was at a decision: `value relation threshold`, met or not."""

    name: str
    value: float
    relation: str
    threshold: float
    met: bool


InForce = Callable[[str, int], RunnerConfigured | None]
"""Returns the configuration of a strategy at an event."""
Explain = Callable[[OrderPlaced | OrderRejected, RunnerConfigured | None], tuple[Sequence[ConditionView], str]]
"""Returns the conditions of an entry under a configuration, and a note on them."""


class ReadingView(Struct, frozen=True):
    """One number that a decision was based on."""

    name: str
    value: float


class CauseLink(Struct, frozen=True):
    """One event of the chain. Only orders have readings, and conditions if the strategy explains them.

    `note` qualifies the conditions, for example if the code has changed since; it is usually empty.
    """

    recorded: Recorded
    line: EventLine
    readings: tuple[ReadingView, ...]
    conditions: tuple[ConditionView, ...] = ()
    note: str = ""


class CauseChain(Struct, frozen=True):
    """The chain from the requested event, first, to its root cause, last. `complete` is False if it was cut short."""

    links: tuple[CauseLink, ...]
    complete: bool


def cause_chain(seq: int, lookup: Callable[[int], Recorded], contracts: Contracts) -> CauseChain:
    """Return the chain of the event at `seq`; `lookup` finds an event by its seq, and its errors propagate.

    A cause precedes its effect: a chain that says otherwise, or exceeds `CHAIN_LINKS_MAX`, is cut short.
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
    """Return a chain with the conditions of its entry decisions added."""
    return replace(chain, links=tuple(_explained(link, in_force, explain) for link in chain.links))


def _explained(link: CauseLink, in_force: InForce, explain: Explain) -> CauseLink:
    event = link.recorded.event
    if not is_entry(event):
        return link
    conditions, note = explain(event, in_force(event.strategy, link.recorded.seq))
    return replace(link, conditions=tuple(conditions), note=note)


def is_entry(event: Event) -> TypeGuard[OrderPlaced | OrderRejected]:
    """Return whether an event is an entry decision, placed or rejected; only these have conditions."""
    return isinstance(event, OrderRejected) or (isinstance(event, OrderPlaced) and event.action == "entry")


def _readings(event: Event) -> tuple[ReadingView, ...]:
    if not isinstance(event, OrderPlaced | OrderRejected) or not any(event.readings.values()):
        return ()
    return tuple(ReadingView(name, value) for name, value in event.readings.items())
