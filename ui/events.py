"""The event pages: the search, and one event with its causes and effects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.api.views.history import run_search
from papertape.events.errors import UsageError
from papertape.projections.site.event_query import SEARCHED_EVENTS_MAX, EventFilter, Search, SearchResult, of_trade
from papertape.projections.site.neighbours import EventNeighbours, find_neighbours
from papertape.projections.text.event_views import TYPE_NAMES

if TYPE_CHECKING:
    from papertape.events.log import Recorded
    from papertape.projections.folds.trades import TradeView
    from papertape.projections.text.causes import CauseChain
    from papertape.ui.page_request import PageRequest

EVENTS_A_PAGE = 60
SEARCH_S_MAX = 1.5
"""The time limit of a page's search; the page then shows the progress and continues by itself."""
EFFECTS_SEARCHED_MAX = 2_000
EFFECTS_SHOWN_MAX = 20


class EventsPage(Struct, frozen=True):
    """The context of the page. `first` is the first event of the range, `looked_to` where a continued search began."""

    result: SearchResult
    selection: EventFilter
    trade: TradeView | None
    steps: EventNeighbours
    types: tuple[str, ...]
    strategies: tuple[str, ...]
    symbols: tuple[str, ...]
    first: int
    before: int
    looked_to: int

    @property
    def is_narrowed(self) -> bool:
        """Whether a filter hides some events."""
        return self.trade is not None or self.selection not in (EventFilter(), EventFilter(everything=True))


async def events(request: PageRequest) -> EventsPage:
    """Load the newest matching events. Raise UsageError for an unknown event type, and for no trade.

    Raise LogBusy for the events of a trade during the first fold.
    """
    views = request.views
    kind = request.parameter("type")
    if kind and kind not in TYPE_NAMES:
        raise UsageError(f"there is no event type {kind!r}; there are: {', '.join(TYPE_NAMES)}")
    selection = EventFilter(
        types=frozenset([kind] if kind else []),
        symbol=request.parameter("symbol") or None,
        strategy=request.parameter("strategy") or None,
        everything=request.parameter("all") == "1",
        text=request.parameter("q"),
    )
    trade_seq = request.number("trade", 0)
    if trade_seq and request.folding is not None:
        raise request.folding.as_error()
    trade = views.trades.closed_by(trade_seq) if trade_seq else None
    narrowed, first, last = (selection, 1, request.seq) if trade is None else of_trade(selection, trade)
    before = min(request.number("before", last + 1), last + 1)
    looked_to = request.number("looked_to", 0)
    if trade is None and request.live and before > request.seq:
        result = await newest_events(request, selection, EVENTS_A_PAGE)
    else:
        result = await run_search(
            Search(narrowed, views.contracts.by_symbol, first, before - 1, EVENTS_A_PAGE),
            request.site.timeline,
            SEARCH_S_MAX,
        )
    return EventsPage(
        result=result,
        selection=selection,
        trade=trade,
        steps=find_neighbours(views if request.folding else request.site.timeline.views, request.seq),
        types=TYPE_NAMES,
        strategies=views.strategies,
        symbols=tuple(views.freshness),
        first=first,
        before=before,
        looked_to=looked_to if result.to_seq < looked_to <= request.seq else result.to_seq,
    )


class EventPage(Struct, frozen=True):
    """The context of the page of one event, with its causes and effects."""

    recorded: Recorded
    chain: CauseChain
    effects: tuple[Recorded, ...]


async def event(request: PageRequest) -> EventPage:
    """Load the page of one event. Raise UsageError for a seq that is not in the log."""
    text = request.path["seq"]
    seq = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
    if not 0 < seq <= request.head_seq:
        raise UsageError(f"there is no event {text[:20]!r}; the log ends at {request.head_seq:,}")
    after = await request.site.timeline.events(seq - 1, EFFECTS_SEARCHED_MAX)
    effects = tuple(one for one in after if one.cause == seq)
    return EventPage(after[0], await request.site.inspector.why(seq), effects[:EFFECTS_SHOWN_MAX])


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
