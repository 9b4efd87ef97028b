"""Searches through the log for one request: they continue to the first hit, within limits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from events.errors import LogReplaced

if TYPE_CHECKING:
    from projections.site import Timeline
    from projections.wanted import Found, Search

SEARCH_S_MAX: Final = 3.0
"""A request searches in vain for no longer; who asks again with its `next` goes on."""


async def run(search: Search, timeline: Timeline, search_s_max: float = SEARCH_S_MAX) -> Found:
    """Read what a search wants to look at, one page at least. Raises LogReplaced if the log has shrunk meanwhile."""
    ends_s = time.monotonic() + search_s_max
    while (page := search.page) is not None and not (search.in_vain and time.monotonic() >= ends_s):
        events = await timeline.events(*page)
        if not events:
            raise LogReplaced("the log was replaced; try again")
        search.take(events)
    return search.found
