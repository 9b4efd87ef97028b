"""Cache search results: a live page repeats its search, and only new events are examined."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from papertape.api.event_search import run_search
from papertape.projections.site.event_query import SEARCHED_EVENTS_MAX, EventFilter, Search, SearchResult

if TYPE_CHECKING:
    from papertape.projections.site.views import Views
    from papertape.ui.page_request import PageRequest

SEARCH_S_MAX: Final = 1.5
"""The time limit of a page's search; the page then shows the progress and continues by itself."""
SEARCHES_KEPT_MAX: Final = 16


class SearchCache:
    """The results of the latest searches from the head of one log."""

    def __init__(self) -> None:
        self._kept: OrderedDict[EventFilter, SearchResult] = OrderedDict()
        self._of: Views | None = None

    def find(self, wanted: EventFilter, views: Views) -> SearchResult | None:
        """Return the earlier result in the log of these views, or None."""
        if self._of is not views:  # Another log stands at its place.
            self._kept.clear()
            self._of = views
        return self._kept.get(wanted)

    def store(self, wanted: EventFilter, found: SearchResult) -> None:
        """Store a result, and drop the least recently used one beyond the limit."""
        self._kept[wanted] = found
        self._kept.move_to_end(wanted)
        while len(self._kept) > SEARCHES_KEPT_MAX:
            self._kept.popitem(last=False)


async def newest_events(look: PageRequest, wanted: EventFilter, limit: int) -> SearchResult:
    """Return the newest matching events: new ones since the last search, then the known ones."""
    head, contracts, timeline = look.seq, look.views.contracts.by_symbol, look.site.timeline
    known = look.searches.find(wanted, look.views)
    if known is None or not known.to_seq <= head <= known.to_seq + SEARCHED_EVENTS_MAX:
        found = await run_search(Search(wanted, contracts, 1, head, limit), timeline, SEARCH_S_MAX)
    else:
        fresh = await run_search(Search(wanted, contracts, known.to_seq + 1, head, limit), timeline)
        found = _joined(fresh, known, limit)
    look.searches.store(wanted, found)
    return found


def _joined(fresh: SearchResult, known: SearchResult, limit: int) -> SearchResult:
    """Join both results; events beyond the limit belong to the next page."""
    if not fresh.to_seq:
        return known
    if not fresh.complete:
        return fresh
    events = (*fresh.events, *known.events)
    if len(events) <= limit:
        return SearchResult(events, known.from_seq or fresh.from_seq, fresh.to_seq, known.complete)
    return SearchResult(events[:limit], events[limit - 1].seq, fresh.to_seq, complete=False)
