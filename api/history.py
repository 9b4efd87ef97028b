"""The log itself: its events in words, how everything stood as of one, and why it happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, Struct
from starlette.exceptions import HTTPException

from papertape.api.event_search import SEARCH_S_MAX, run_search
from papertape.api.query import LIMIT_DEFAULT, Limit, Query, Seq
from papertape.api.view_handler import ViewEndpoint
from papertape.projections.folds.portfolio import PortfolioView
from papertape.projections.site.event_query import SEARCHED_EVENTS_MAX, SEARCHED_IN_VAIN_MAX, EventFilter, Search
from papertape.projections.site.messages import Message, messages
from papertape.projections.text.event_views import TYPE_NAMES, ChainView, EventView, chain_view, event_view

if TYPE_CHECKING:
    from papertape.api.view_handler import ViewContext
    from papertape.projections.site.event_query import SearchResult

OF_MESSAGES = "As in the chat, without a token as they would have gone: the last 50 alerts, faults, the last heartbeat"
Text = Annotated[str, Meta(max_length=100)]


class EventQuery(Query, frozen=True, forbid_unknown_fields=True):
    """Which events, from where on, in which direction; what is empty leaves all.

    `after` goes forward from an event; with `order=newest` the search goes backward from `before` (0: the newest).
    Without a type candles, rates and open interest are left out, unless `all` is said.
    """

    after: Seq = 0
    before: Seq = 0
    order: Literal["oldest", "newest"] = "oldest"
    type: Annotated[tuple[Text, ...], Meta(max_length=50)] = ()
    symbol: Text = ""
    strategy: Text = ""
    text: Text = ""
    all: bool = False
    limit: Limit = LIMIT_DEFAULT


class EventsFound(Struct, frozen=True):
    """A page of events, and the searched part of the log, `from_seq` to `to_seq`.

    `next` continues the same search, None at the end. Both seqs are 0 if nothing was searched.
    """

    items: tuple[EventView, ...]
    next: int | None
    from_seq: int
    to_seq: int


class EventSeqQuery(Query, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One event of the log."""

    seq: Seq


class StateQuery(Query, frozen=True, forbid_unknown_fields=True):
    """How it stood; `digest` asks for the digest of everything the engine knew, which takes longer."""

    digest: bool = False


class StateView(Struct, frozen=True):
    """Accounts, positions, orders and kill switches, and the digest of everything the engine knew."""

    portfolio: PortfolioView
    digest: str | None


async def _events(scene: ViewContext, query: EventQuery) -> EventsFound:
    """Return the events found; `next` continues the search even if this part had no match."""
    unknown = [name for name in query.type if name not in TYPE_NAMES]
    if unknown:
        raise HTTPException(422, f"there is no type of event {unknown[0]!r}; there are {', '.join(TYPE_NAMES)}")
    kinds = frozenset(query.type)
    wanted = EventFilter(kinds, query.symbol or None, query.strategy or None, query.all, query.text)
    contracts, head, backward = scene.views.contracts.by_symbol, scene.as_of.seq, query.order == "newest"
    first = 1 if backward else min(query.after, head) + 1
    last = min(query.before or head + 1, head + 1) - 1 if backward else head
    found = await run_search(
        Search(wanted, contracts, first, last, query.limit, backward=backward), scene.site.timeline
    )
    items = tuple(event_view(one, contracts) for one in found.events)
    return EventsFound(items, _next(found, backward=backward), found.from_seq, found.to_seq)


def _next(found: SearchResult, *, backward: bool) -> int | None:
    if found.complete:
        return None
    return found.from_seq if backward else found.to_seq


async def _event(scene: ViewContext, query: EventSeqQuery) -> EventView:
    contracts = scene.views.contracts.by_symbol
    found = await scene.site.timeline.events(query.seq - 1, 1) if 0 < query.seq <= scene.as_of.seq else ()
    if not found:
        raise HTTPException(404, f"there is no event {query.seq}; the log holds 1 to {scene.as_of.seq}")
    return event_view(found[0], contracts)


async def _why(scene: ViewContext, query: EventSeqQuery) -> ChainView:
    contracts = scene.views.contracts.by_symbol
    return chain_view(await scene.site.inspector.why(query.seq), contracts)


async def _messages(scene: ViewContext, _: Query) -> tuple[Message, ...]:
    return messages(scene.views, scene.site.unlogged())


async def _state(scene: ViewContext, query: StateQuery) -> StateView:
    view = scene.views.portfolio.view()
    digest = await scene.site.inspector.digest(scene.as_of.seq) if query.digest else None
    return StateView(view, digest)


VIEWS = (
    ViewEndpoint(
        "events",
        "The events of the log in words, in pages",
        EventsFound,
        _events,
        EventQuery,
        f"A search continues to its first hit. A page ends after `limit` events, or after {SEARCHED_EVENTS_MAX:,} "
        f"searched events; if none matched, after {SEARCH_S_MAX:g} s or {SEARCHED_IN_VAIN_MAX:,} events. A page may be "
        "short or even empty and still have a `next`; only a null `next` is the end. It covers `from_seq` to `to_seq`.",
    ),
    ViewEndpoint("events/{seq}", "One event", EventView, _event, EventSeqQuery),
    ViewEndpoint("why/{seq}", "Why an event happened, back to its root cause", ChainView, _why, EventSeqQuery),
    ViewEndpoint(
        "messages", "What the owner was told, newest first", tuple[Message, ...], _messages, about=OF_MESSAGES
    ),
    ViewEndpoint("state", "How everything stood as of an event or a time", StateView, _state, StateQuery),
)
