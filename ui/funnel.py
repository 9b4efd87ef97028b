"""The funnel of one strategy: how often it was asked, how often each condition held, and what became of its signals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from papertape.events.errors import LogBusy, UsageError
from papertape.projections.site.funnel import DAYS_MAX, FunnelRequest, FunnelView

if TYPE_CHECKING:
    from papertape.ui.page_request import PageRequest

DAYS_DEFAULT: Final = 7
SPANS_DAYS: Final = (1, 7, 30, 90, 365)
WAIT_S: Final = 1.5
"""A longer count goes on in its process; the page asks again."""


class FunnelPage(Struct, frozen=True):
    """The context of the page. `view` is None while the funnel is being counted; `busy` says why it is not."""

    strategy: str
    names: tuple[str, ...]
    days: int
    spans: tuple[int, ...]
    view: FunnelView | None
    busy: str = ""


async def funnel(request: PageRequest) -> FunnelPage:
    """Load the funnel of a strategy. Raise UsageError for an unknown strategy or an invalid number of days."""
    name, views = request.path["name"], request.views
    if name not in views.runners:
        raise UsageError(f"there is no strategy {name!r}; there are: {', '.join(views.runners) or 'none yet'}")
    days = request.number("days", DAYS_DEFAULT)
    if not 1 <= days <= DAYS_MAX:
        raise UsageError(f"days={days}: must be 1 to {DAYS_MAX:g}")
    page = FunnelPage(name, views.strategies, days, SPANS_DAYS, None)
    source = request.site.funnels
    if source is None:
        return FunnelPage(name, views.strategies, days, SPANS_DAYS, None, "this page cannot read the log again")
    until_ms = None if request.live else views.at_ms
    try:
        view = await source.funnel(FunnelRequest(name, None, float(days), until_ms), WAIT_S)
    except LogBusy as busy:
        return FunnelPage(name, views.strategies, days, SPANS_DAYS, None, str(busy))
    return page if view is None else FunnelPage(name, page.names, days, SPANS_DAYS, view)
