"""Views as answers: as of an event, with an ETag, so that what did not change costs nothing."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import msgspec
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.responses import Response

from papertape.api.gate import Access
from papertape.api.query import SEQ_MAX, Query, read
from papertape.api.routes import GuardedRoute, Operation
from papertape.projections.site.ports import newest_views
from papertape.projections.text.formats import moment_ms

if TYPE_CHECKING:
    from starlette.requests import Request

    from papertape.projections.site.ports import Site
    from papertape.projections.site.views import Views

T = TypeVar("T")
JSON: Final = "application/json"
DIGITS_MAX: Final = 16
REVALIDATE: Final = "private, no-cache"


class AsOf(Struct, frozen=True):
    """The event after which a view stands, and the market time of its newest candle, UTC ms."""

    seq: int
    at_ms: int


class Answer(Struct, Generic[T], frozen=True):
    """A view, and as of when."""

    as_of: AsOf
    data: T


class Page(Struct, Generic[T], frozen=True):
    """A part of a list. `next` is what the same question asks with to go on; None at the end."""

    items: tuple[T, ...]
    next: int | None


class ViewContext(Struct, frozen=True):
    """What a view is made of: the site, and the views as of the event that is asked about."""

    site: Site
    views: Views
    as_of: AsOf
    """Where the views stood when they were asked for: those of the head move on while others are waited for."""


Make = Callable[[ViewContext, Any], Awaitable[Any]]


class ViewEndpoint(Struct, frozen=True):
    """A question by GET: where, what it may say, what comes back, and who makes it."""

    path: str
    summary: str
    answer: Any
    make: Make
    query: type[Query] = Query
    about: str = ""
    refusals: tuple[int, ...] = (404, 422, 503)


async def seq_of(site: Site, moment: str) -> int | None:
    """The seq that is meant; None for the newest. Raises HTTPException 422, UsageError before the log's beginning."""
    if not moment:
        return None
    if moment.isascii() and moment.isdigit() and len(moment) <= DIGITS_MAX:
        seq = int(moment)
        if seq > SEQ_MAX:
            raise HTTPException(422, f"as_of: {moment} is larger than any seq")
        return seq
    at_ms = moment_ms(moment)
    if at_ms is None:
        raise HTTPException(422, f"as_of: {moment!r} is neither a seq nor a time like 2025-03-01T14:05")
    return await site.timeline.seq_at(at_ms)


class ViewHandler:
    """Answers the questions about one log. Its ETags hold as long as this process reads this log."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._life, self._of = secrets.token_hex(4), site.timeline.views

    def route(self, view: ViewEndpoint) -> GuardedRoute:
        """The route of a view."""
        operation = Operation(view.summary, Answer[view.answer], view.query, refusals=view.refusals, about=view.about)  # type: ignore[name-defined]

        async def endpoint(request: Request) -> Response:
            return await self.answer(request, view)

        return GuardedRoute(f"/api/v1/{view.path}", endpoint, access=Access.READ, operation=operation)

    async def answer(self, request: Request, view: ViewEndpoint) -> Response:
        """Look only where the client does not know it yet."""
        query = read(view.query, request)
        seq = await seq_of(self.site, query.as_of)
        known = self.not_modified(request, newest_views(self.site.timeline).seq if seq is None else seq)
        if known is not None:
            return known
        scene = await self.scene(seq)
        data = await view.make(scene, query)
        content = msgspec.json.encode(Answer(scene.as_of, data))
        return Response(content, headers=self.headers(scene.as_of.seq), media_type=JSON)

    async def scene(self, seq: int | None) -> ViewContext:
        """The views as of a seq, the newest without one."""
        timeline = self.site.timeline
        views = newest_views(timeline) if seq is None else await timeline.as_of(seq)
        return ViewContext(self.site, views, AsOf(views.seq, views.at_ms))

    def headers(self, seq: int) -> dict[str, str]:
        """What lets a client ask whether anything has changed."""
        return {"etag": self._etag(seq), "cache-control": REVALIDATE}

    def not_modified(self, request: Request, seq: int) -> Response | None:
        """304 where the client has this very answer."""
        known = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
        return Response(status_code=304, headers=self.headers(seq)) if self._etag(seq) in known else None

    def _etag(self, seq: int) -> str:
        if self._of is not self.site.timeline.views:  # Another log stands at its place.
            self._life, self._of = secrets.token_hex(4), self.site.timeline.views
        return f'"{self._life}-{seq}"'
