"""Cache search results: a live page repeats its search, and only new events are examined."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from papertape.projections.site.event_query import EventFilter, SearchResult

if TYPE_CHECKING:
    from papertape.projections.site.views import Views

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
