"""Answer queries with views as of an event, each with an ETag, so that an unchanged view costs nothing."""

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
T_co = TypeVar("T_co", covariant=True)
JSON: Final = "application/json"
DIGITS_MAX: Final = 16
REVALIDATE: Final = "private, no-cache"


class AsOf(Struct, frozen=True):
    """The last event that a view includes, and the market time of its newest candle, UTC ms."""

    seq: int
    at_ms: int


class ViewAsOf(Struct, Generic[T_co], frozen=True):
    """A view and the event it is as of."""

    as_of: AsOf
    data: T_co


class Page(Struct, Generic[T], frozen=True):
    """A page of a list. Pass `next` as `cursor` in the same query to continue; it is None on the last page."""

    items: tuple[T, ...]
    next: int | None


class ViewContext(Struct, frozen=True):
    """The site, and its views as of the requested event."""

    site: Site
    views: Views
    as_of: AsOf
    """The position of the views at the time of the request: the newest views advance during an `await`."""


Make = Callable[[ViewContext, Any], Awaitable[Any]]


class ViewEndpoint(Struct, frozen=True):
    """A GET endpoint: its path, query, answer, and the function that makes the answer."""

    path: str
    summary: str
    answer: Any
    make: Make
    query: type[Query] = Query
    about: str = ""


async def seq_of(site: Site, moment: str) -> int | None:
    """Return the seq of a moment, None for the newest. Raise HTTPException 422, UsageError before the first event."""
    if not moment:
        return None
    if moment.isascii() and moment.isdigit() and len(moment) <= DIGITS_MAX:
        seq = int(moment)
        if seq > SEQ_MAX:
            raise HTTPException(422, f"as_of: {moment} is larger than the largest seq")
        return seq
    at_ms = moment_ms(moment)
    if at_ms is None:
        raise HTTPException(422, f"as_of: {moment!r} is neither a seq nor a time such as 2025-03-01T14:05")
    return await site.timeline.seq_at(at_ms)


class ViewHandler:
    """Answers view queries about one log. Its ETags are valid while this process reads this log."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._etag_prefix, self._views = secrets.token_hex(4), site.timeline.views

    def route(self, view: ViewEndpoint) -> GuardedRoute:
        """Return the route of a view."""
        refusals = (404, 422, 503) if "{" in view.path else (422, 503)
        operation = Operation(view.summary, ViewAsOf[view.answer], view.query, refusals=refusals, about=view.about)  # type: ignore[name-defined]

        async def endpoint(request: Request) -> Response:
            return await self.answer(request, view)

        return GuardedRoute(f"/api/v1/{view.path}", endpoint, access=Access.READ, operation=operation)

    async def answer(self, request: Request, view: ViewEndpoint) -> Response:
        """Return the answer of a view, or 304 if the client already has it."""
        query = read(view.query, request)
        seq = await seq_of(self.site, query.as_of)
        not_modified = self.not_modified(request, newest_views(self.site.timeline).seq if seq is None else seq)
        if not_modified is not None:
            return not_modified
        context = await self.context(seq)
        data = await view.make(context, query)
        content = msgspec.json.encode(ViewAsOf(context.as_of, data))
        return Response(content, headers=self.headers(context.as_of.seq), media_type=JSON)

    async def context(self, seq: int | None) -> ViewContext:
        """Return the views as of a seq, or the newest views for None."""
        timeline = self.site.timeline
        views = newest_views(timeline) if seq is None else await timeline.as_of(seq)
        return ViewContext(self.site, views, AsOf(views.seq, views.at_ms))

    def headers(self, seq: int) -> dict[str, str]:
        """Return the headers with which a client can ask whether the view has changed."""
        return {"etag": self._etag(seq), "cache-control": REVALIDATE}

    def not_modified(self, request: Request, seq: int) -> Response | None:
        """Return 304 if the client already has this answer, else None."""
        etags = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
        return Response(status_code=304, headers=self.headers(seq)) if self._etag(seq) in etags else None

    def _etag(self, seq: int) -> str:
        if self._views is not self.site.timeline.views:  # The log was replaced by another one.
            self._etag_prefix, self._views = secrets.token_hex(4), self.site.timeline.views
        return f'"{self._etag_prefix}-{seq}"'
