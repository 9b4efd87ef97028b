"""Events: searched, with their causes and effects; and the time machine over the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.api.event_search import run_search
from papertape.events.errors import UsageError
from papertape.projections.site.event_query import EventFilter, Search, SearchResult
from papertape.projections.site.neighbours import EventNeighbours, find_neighbours
from papertape.projections.text.event_views import TYPE_NAMES
from papertape.ui.search_cache import SEARCH_S_MAX, newest_events

if TYPE_CHECKING:
    from papertape.events.log import Recorded
    from papertape.projections.text.causes import CauseChain
    from papertape.ui.page_request import PageRequest

EVENTS_A_PAGE = 60
EFFECTS_LOOKED_AT_MAX = 2_000
EFFECTS_SHOWN_MAX = 20


class EventsPage(Struct, frozen=True):
    """The page's context. `looked_to` is the seq at which the continued search began."""

    found: SearchResult
    wanted: EventFilter
    steps: EventNeighbours
    types: tuple[str, ...]
    strategies: tuple[str, ...]
    symbols: tuple[str, ...]
    before: int
    looked_to: int

    @property
    def is_narrowed(self) -> bool:
        """Whether a filter hides some events."""
        return self.wanted not in (EventFilter(), EventFilter(everything=True))


async def events(look: PageRequest) -> EventsPage:
    """The newest events that were asked for. Raises UsageError for a type that there is not."""
    views = look.views
    kind = look.parameter("type")
    if kind and kind not in TYPE_NAMES:
        raise UsageError(f"there is no event type {kind!r}; there are: {', '.join(TYPE_NAMES)}")
    wanted = EventFilter(
        types=frozenset([kind] if kind else []),
        symbol=look.parameter("symbol") or None,
        strategy=look.parameter("strategy") or None,
        everything=look.parameter("all") == "1",
        text=look.parameter("q"),
    )
    before = min(look.number("before", look.seq + 1), look.seq + 1)
    looked_to = look.number("looked_to", 0)
    if look.live and before > look.seq:
        found = await newest_events(look, wanted, EVENTS_A_PAGE)
    else:
        found = await run_search(
            Search(wanted, views.contracts.by_symbol, 1, before - 1, EVENTS_A_PAGE), look.site.timeline, SEARCH_S_MAX
        )
    return EventsPage(
        found=found,
        wanted=wanted,
        steps=find_neighbours(look.site.timeline.views, look.seq),
        types=TYPE_NAMES,
        strategies=views.strategies,
        symbols=tuple(views.seen),
        before=before,
        looked_to=looked_to if found.to_seq < looked_to <= look.seq else found.to_seq,
    )


class EventPage(Struct, frozen=True):
    """The page's context of one event: what led to it, and what followed from it."""

    recorded: Recorded
    chain: CauseChain
    effects: tuple[Recorded, ...]


async def event(look: PageRequest) -> EventPage:
    """One event. Raises UsageError for a seq that the log does not hold."""
    text = look.path["seq"]
    seq = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
    if not 0 < seq <= look.head_seq:
        raise UsageError(f"there is no event {text[:20]!r}; the log ends at {look.head_seq:,}")
    read = look.site.timeline.events
    after = await read(seq - 1, EFFECTS_LOOKED_AT_MAX)
    effects = tuple(one for one in after if one.cause == seq)
    return EventPage(after[0], await look.site.inspector.why(seq), effects[:EFFECTS_SHOWN_MAX])
