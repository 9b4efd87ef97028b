"""Search the log for one request, up to the first hit and within limits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from papertape.events.errors import LogReplaced

if TYPE_CHECKING:
    from papertape.projections.site.event_query import Search, SearchResult
    from papertape.projections.site.ports import Timeline

SEARCH_S_MAX: Final = 3.0
"""The time limit of a request without a hit; its `next` continues the search."""


async def run_search(search: Search, timeline: Timeline, search_s_max: float = SEARCH_S_MAX) -> SearchResult:
    """Read the pages that a search asks for, at least one. Raise LogReplaced if the log has shrunk."""
    ends_s = time.monotonic() + search_s_max
    while (page := search.page) is not None and not (search.without_match and time.monotonic() >= ends_s):
        events = await timeline.events(*page)
        if not events:
            raise LogReplaced("the log was replaced; try again")
        search.take(events)
    return search.result
