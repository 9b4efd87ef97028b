"""The log itself: its events in words, the state as of an event, and the causes of an event."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Final, Literal

from msgspec import Meta, Struct
from starlette.exceptions import HTTPException

from papertape.api.query import LIMIT_DEFAULT, Limit, Query, Seq
from papertape.api.ranges import Cursor, RangeQuery, check_cursor, events_in
from papertape.api.view_handler import ViewEndpoint
from papertape.api.views.names import check_strategy, check_symbol
from papertape.events.errors import LogReplaced
from papertape.events.facts import GLOBAL_SCOPE
from papertape.projections.folds.portfolio import PortfolioView
from papertape.projections.site.event_query import (
    SEARCHED_EVENTS_MAX,
    UNMATCHED_EVENTS_MAX,
    EventFilter,
    Search,
    of_trade,
)
from papertape.projections.site.messages import Message, messages
from papertape.projections.text.event_views import TYPE_NAMES, ChainView, EventView, chain_view, event_view

if TYPE_CHECKING:
    from papertape.api.view_handler import ViewContext
    from papertape.projections.site.event_query import SearchResult
    from papertape.projections.site.ports import Timeline

SEARCH_S_MAX: Final = 3.0
"""The time limit of a request without a hit; its `next` continues the search."""
ABOUT_MESSAGES = (
    "As in the chat, or as they would be with a Telegram token: the last 50 alerts, faults, and the last heartbeat."
)
Text = Annotated[str, Meta(max_length=100)]


class EventFilterQuery(RangeQuery, frozen=True, forbid_unknown_fields=True):
    """Which events; an empty parameter does not filter. `strategy` may also be `global`, the scope of a kill switch.

    `trade`, the event that closed a trade, asks for what its strategy did on its symbol from the order to the close.
    Without a `type`, candles, funding rates, open interest and signals are omitted unless `all` is true.
    """

    type: Annotated[tuple[Text, ...], Meta(max_length=50)] = ()
    symbol: Text = ""
    strategy: Text = ""
    trade: Seq = 0
    text: Text = ""
    all: bool = False


class EventQuery(EventFilterQuery, frozen=True, forbid_unknown_fields=True):
    """A page of events, in the order of the log or backwards."""

    order: Literal["oldest", "newest"] = "oldest"
    limit: Limit = LIMIT_DEFAULT
    cursor: Cursor = 0


class EventsFound(Struct, frozen=True):
    """A page of events, and the part of the log that was searched, `from_seq` to `to_seq`.

    `next`, as the `cursor` of the same query, continues the search, None at the end. Both seqs are 0 if nothing was
    searched.
    """

    items: tuple[EventView, ...]
    next: int | None
    from_seq: int
    to_seq: int


class EventSeqQuery(Query, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One event of the log."""

    seq: Seq


class StateQuery(Query, frozen=True, forbid_unknown_fields=True):
    """The state as of an event. `digest` adds the digest of the whole engine state, which takes longer."""

    digest: bool = False


class StateView(Struct, frozen=True):
    """Accounts, positions, orders, kill switches, and the digest of the engine state if requested."""

    portfolio: PortfolioView
    digest: str | None


async def _events(context: ViewContext, query: EventQuery) -> EventsFound:
    """Return the events found; `next` continues the search even if this part had no match."""
    contracts, head, backward = context.views.contracts.by_symbol, context.as_of.seq, query.order == "newest"
    check_cursor(query.cursor, head)
    selection, first, last = await stretch_of(context, query)
    if query.cursor and backward:
        last = min(last, query.cursor - 1)
    elif query.cursor:
        first = max(first, query.cursor + 1)
    result = await run_search(
        Search(selection, contracts, first, last, query.limit, backward=backward), context.site.timeline
    )
    items = tuple(event_view(one, contracts) for one in result.events)
    return EventsFound(items, _next(result, backward=backward), result.from_seq, result.to_seq)


def selected(query: EventFilterQuery) -> EventFilter:
    """Return the filter of a query. Raise HTTPException 422 for an unknown event type."""
    unknown = [name for name in query.type if name not in TYPE_NAMES]
    if unknown:
        raise HTTPException(422, f"unknown event type {unknown[0]!r}; the types are {', '.join(TYPE_NAMES)}")
    return EventFilter(frozenset(query.type), query.symbol or None, query.strategy or None, query.all, query.text)


async def stretch_of(context: ViewContext, query: EventFilterQuery) -> tuple[EventFilter, int, int]:
    """Return the filter of a query, and the first and the last event of its range.

    Raise UsageError for a strategy, a symbol or a trade that this log does not have, HTTPException 422 for no range.
    """
    check_symbol(context, query.symbol)
    if query.strategy != GLOBAL_SCOPE:
        check_strategy(context, query.strategy)
    selection = selected(query)
    first, last = await events_in(query, context.as_of.seq, context.site.timeline)
    if not query.trade:
        return selection, first, last
    narrowed, opened, closed = of_trade(selection, context.views.trades.closed_by(query.trade))
    return narrowed, max(first, opened), min(last, closed)


async def run_search(search: Search, timeline: Timeline, search_s_max: float = SEARCH_S_MAX) -> SearchResult:
    """Read the pages that a search asks for, at least one. Raise LogReplaced if the log has shrunk."""
    ends_s = time.monotonic() + search_s_max
    while not (search.without_match and time.monotonic() >= ends_s):
        if search.needs_plan:
            search.plan(await timeline.candidates(search.query))
            continue
        if (page := search.page) is None:
            break
        events = await timeline.events(*page)
        if not events:
            raise LogReplaced("the log was replaced; try again")
        search.take(events)
    return search.result


def _next(result: SearchResult, *, backward: bool) -> int | None:
    if result.complete:
        return None
    return result.from_seq if backward else result.to_seq


async def _event(context: ViewContext, query: EventSeqQuery) -> EventView:
    contracts = context.views.contracts.by_symbol
    events = await context.site.timeline.events(query.seq - 1, 1) if 0 < query.seq <= context.as_of.seq else ()
    if not events:
        raise HTTPException(404, f"there is no event {query.seq}; the log holds 1 to {context.as_of.seq}")
    return event_view(events[0], contracts)


async def _why(context: ViewContext, query: EventSeqQuery) -> ChainView:
    contracts = context.views.contracts.by_symbol
    return chain_view(await context.site.inspector.why(query.seq), contracts)


async def _messages(context: ViewContext, _: Query) -> tuple[Message, ...]:
    return messages(context.views, context.site.unlogged())


async def _state(context: ViewContext, query: StateQuery) -> StateView:
    view = context.views.portfolio.view()
    digest = await context.site.inspector.digest(context.as_of.seq) if query.digest else None
    return StateView(view, digest)


VIEWS = (
    ViewEndpoint(
        "events",
        "The events of the log in words, in pages",
        EventsFound,
        _events,
        EventQuery,
        f"A search continues to its first hit. A page ends after `limit` events, or after {SEARCHED_EVENTS_MAX:,} "
        f"searched events; if none matched, after {SEARCH_S_MAX:g} s or {UNMATCHED_EVENTS_MAX:,} events. A page may be "
        "short or even empty and still have a `next`; only a null `next` is the end. It covers `from_seq` to `to_seq`.",
    ),
    ViewEndpoint("events/{seq}", "One event", EventView, _event, EventSeqQuery),
    ViewEndpoint("why/{seq}", "Why an event happened, back to its root cause", ChainView, _why, EventSeqQuery),
    ViewEndpoint(
        "messages", "The messages to the owner, newest first", tuple[Message, ...], _messages, about=ABOUT_MESSAGES
    ),
    ViewEndpoint("state", "The state as of an event or a time", StateView, _state, StateQuery),
)
