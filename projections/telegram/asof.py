"""How it stood: the log folded once more, from its beginning up to an event or a time of the market."""

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
"""A log of more events is not read again for a question."""


class AsOfAnswer(Struct, frozen=True):
    """The views as they stood; `reached` is False where the log is longer than is read for a question."""

    views: Views
    reached: bool


async def as_of(
    asked: AsOfQuery,
    source: EventSource,
    head_seq: int,
    progress: Callable[[int], Awaitable[None]],
    events_max: int = ASOF_EVENTS_MAX,
) -> AsOfAnswer:
    """Fold up to the event, or up to the last one that was known at the time.

    `progress` is told the seq after each page. Others have their turn between pages. Raises UsageError for a time
    before the log begins.
    """
    views, moment = Views(), None if asked.at_ms is None else MarketTimeCutoff(asked.at_ms)
    until_seq = min(head_seq if asked.seq is None else asked.seq, head_seq)
    while views.seq < min(until_seq, events_max):
        page = source.read(views.seq, min(PAGE_EVENTS_MAX, until_seq - views.seq))
        if not page:
            break
        for recorded in page:
            if moment is not None and not moment.includes(recorded):
                moment.check_begun()
                return AsOfAnswer(views, reached=True)
            views.apply(recorded)
        await progress(views.seq)
        await asyncio.sleep(0)
    if moment is not None:
        moment.check_begun()
    return AsOfAnswer(views, reached=views.seq >= until_seq)
