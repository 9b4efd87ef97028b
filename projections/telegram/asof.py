"""A past state: the log folded again, from its beginning up to an event or a market time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from msgspec import Struct

from papertape.projections.host import EventSource
from papertape.projections.site.market_time import MarketTimeCutoff
from papertape.projections.site.views import Views
from papertape.projections.telegram.parse import AsOfQuery

PAGE_EVENTS_MAX: Final = 500
ASOF_EVENTS_MAX: Final = 20_000_000
"""A question re-reads at most so many events."""


class AsOfAnswer(Struct, frozen=True):
    """The views as they stood; `reached` is False if the log is longer than `events_max`."""

    views: Views
    reached: bool


async def as_of(
    query: AsOfQuery,
    source: EventSource,
    head_seq: int,
    progress: Callable[[int], Awaitable[None]],
    events_max: int = ASOF_EVENTS_MAX,
) -> AsOfAnswer:
    """Fold up to the event, or up to the last one known at the time.

    `progress` gets the seq after each page. Other tasks run between pages. Raises UsageError for a time before the log
    begins.
    """
    views, cutoff = Views(), None if query.at_ms is None else MarketTimeCutoff(query.at_ms)
    until_seq = min(head_seq if query.seq is None else query.seq, head_seq)
    while views.seq < min(until_seq, events_max):
        page = source.read(views.seq, min(PAGE_EVENTS_MAX, until_seq - views.seq))
        if not page:
            break
        for recorded in page:
            if cutoff is not None and not cutoff.includes(recorded):
                cutoff.check_begun()
                return AsOfAnswer(views, reached=True)
            views.apply(recorded)
        await progress(views.seq)
        await asyncio.sleep(0)
    if cutoff is not None:
        cutoff.check_begun()
    return AsOfAnswer(views, reached=views.seq >= until_seq)
