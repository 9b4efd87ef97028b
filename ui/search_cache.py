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
CACHED_SEARCHES_MAX: Final = 16


class SearchCache:
    """The results of the latest searches from the head of one log."""

    def __init__(self) -> None:
        self._results: OrderedDict[EventFilter, SearchResult] = OrderedDict()
        self._views: Views | None = None

    def find(self, selection: EventFilter, views: Views) -> SearchResult | None:
        """Return the cached result for the log of these views, or None."""
        if self._views is not views:  # The log was replaced by another one.
            self._results.clear()
            self._views = views
        return self._results.get(selection)

    def store(self, selection: EventFilter, result: SearchResult) -> None:
        """Store a result, and drop the least recently used one beyond the limit."""
        self._results[selection] = result
        self._results.move_to_end(selection)
        while len(self._results) > CACHED_SEARCHES_MAX:
            self._results.popitem(last=False)


async def newest_events(request: PageRequest, selection: EventFilter, limit: int) -> SearchResult:
    """Return the newest matching events: new ones since the last search, then the known ones."""
    head, contracts, timeline = request.seq, request.views.contracts.by_symbol, request.site.timeline
    cached = request.searches.find(selection, request.views)
    if cached is None or not cached.to_seq <= head <= cached.to_seq + SEARCHED_EVENTS_MAX:
        result = await run_search(Search(selection, contracts, 1, head, limit), timeline, SEARCH_S_MAX)
    else:
        fresh = await run_search(Search(selection, contracts, cached.to_seq + 1, head, limit), timeline)
        result = _joined(fresh, cached, limit)
    request.searches.store(selection, result)
    return result


def _joined(fresh: SearchResult, cached: SearchResult, limit: int) -> SearchResult:
    """Join both results; events beyond the limit belong to the next page."""
    if not fresh.to_seq:
        return cached
    if not fresh.complete:
        return fresh
    events = (*fresh.events, *cached.events)
    if len(events) <= limit:
        return SearchResult(events, cached.from_seq or fresh.from_seq, fresh.to_seq, cached.complete)
    return SearchResult(events[:limit], events[limit - 1].seq, fresh.to_seq, complete=False)
