"""The log itself: its events in words, how everything stood as of one, and why it happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, Struct
from starlette.exceptions import HTTPException

from api.answers import Page, View
from api.query import LIMIT_DEFAULT, Limit, Query, Seq
from projections.event_views import TYPE_NAMES, ChainView, EventView, chain_view, event_view
from projections.messages import Message, messages
from projections.portfolio import PortfolioView
from projections.wanted import Wanted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from api.answers import Scene
    from events.log import Recorded

SEARCHED_EVENTS_MAX = 20_000
SEARCHED_IN_VAIN_MAX = 200_000
"""As long as nothing was found, so many are searched: about a second."""
PAGE_EVENTS = 2_000
OF_MESSAGES = "As in the chat, without a token as they would have gone: the last 50 alerts, faults, the last heartbeat"
Text = Annotated[str, Meta(max_length=100)]


class Search(Query, frozen=True, forbid_unknown_fields=True):
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


class OneEvent(Query, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One event of the log."""

    seq: Seq


class StateQuery(Query, frozen=True, forbid_unknown_fields=True):
    """How it stood; `digest` asks for the digest of everything the engine knew, which takes longer."""

    digest: bool = False


class State(Struct, frozen=True):
    """Accounts, positions, orders and kill switches, and the digest of everything the engine knew."""

    portfolio: PortfolioView
    digest: str | None


async def _events(scene: Scene, query: Search) -> Page[EventView]:
    """What is found; `next` goes on also where nothing was found in the part that was searched."""
    unknown = [name for name in query.type if name not in TYPE_NAMES]
    if unknown:
        raise HTTPException(422, f"there is no type of event {unknown[0]!r}; there are {', '.join(TYPE_NAMES)}")
    kinds = frozenset(query.type)
    wanted = Wanted(kinds, query.symbol or None, query.strategy or None, query.all, query.text)
    return await (_backward if query.order == "newest" else _forward)(scene, query, wanted)


async def _forward(scene: Scene, query: Search, wanted: Wanted) -> Page[EventView]:
    contracts, until = scene.views.contracts.by_symbol, scene.as_of.seq
    found: list[EventView] = []
    seq = query.after
    while seq < until and seq - query.after < _searched_max(found):
        for recorded in await _page(scene, seq, min(PAGE_EVENTS, until - seq)):
            seq = recorded.seq
            if wanted.takes(recorded, contracts):
                found.append(event_view(recorded, contracts))
                if len(found) == query.limit:
                    return Page(tuple(found), seq if seq < until else None)
    return Page(tuple(found), seq if seq < until else None)


async def _backward(scene: Scene, query: Search, wanted: Wanted) -> Page[EventView]:
    contracts = scene.views.contracts.by_symbol
    found: list[EventView] = []
    begun = before = min(query.before or scene.as_of.seq + 1, scene.as_of.seq + 1)
    while before > 1 and begun - before < _searched_max(found):
        after = max(before - 1 - PAGE_EVENTS, 0)
        for recorded in reversed(await _page(scene, after, before - 1 - after)):
            before = recorded.seq
            if wanted.takes(recorded, contracts):
                found.append(event_view(recorded, contracts))
                if len(found) == query.limit:
                    return Page(tuple(found), before if before > 1 else None)
    return Page(tuple(found), before if before > 1 else None)


def _searched_max(found: Sequence[EventView]) -> int:
    return SEARCHED_EVENTS_MAX if found else SEARCHED_IN_VAIN_MAX


async def _page(scene: Scene, after_seq: int, limit: int) -> Sequence[Recorded]:
    """A page that the log must have. Raises HTTPException where it has shrunk meanwhile."""
    page = await scene.site.timeline.events(after_seq, limit)
    if not page:
        raise HTTPException(503, "the log is another one now; ask again")
    return page


async def _event(scene: Scene, query: OneEvent) -> EventView:
    contracts = scene.views.contracts.by_symbol
    found = await scene.site.timeline.events(query.seq - 1, 1) if 0 < query.seq <= scene.as_of.seq else ()
    if not found:
        raise HTTPException(404, f"there is no event {query.seq}; the log holds 1 to {scene.as_of.seq}")
    return event_view(found[0], contracts)


async def _why(scene: Scene, query: OneEvent) -> ChainView:
    contracts = scene.views.contracts.by_symbol
    return chain_view(await scene.site.inspector.why(query.seq), contracts)


async def _messages(scene: Scene, _: Query) -> tuple[Message, ...]:
    return messages(scene.views, scene.site.unlogged())


async def _state(scene: Scene, query: StateQuery) -> State:
    view = scene.views.portfolio.view()
    digest = await scene.site.inspector.digest(scene.as_of.seq) if query.digest else None
    return State(view, digest)


VIEWS = (
    View(
        "events",
        "The events of the log in words, in pages",
        Page[EventView],
        _events,
        Search,
        f"A page ends with `limit` events, or when {SEARCHED_EVENTS_MAX:,} events of the log were searched, where none "
        f"fitted {SEARCHED_IN_VAIN_MAX:,}: so a page may be short, even empty, and have a `next`. "
        "Only a `next` of null is the end.",
    ),
    View("events/{seq}", "One event", EventView, _event, OneEvent),
    View("why/{seq}", "Why an event happened, back to its root cause", ChainView, _why, OneEvent),
    View("messages", "What the owner was told, newest first", tuple[Message, ...], _messages, about=OF_MESSAGES),
    View("state", "How everything stood as of an event or a time", State, _state, StateQuery),
)
