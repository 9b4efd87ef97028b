"""The application: the routes of the API, the routes of the pages, and the middleware around both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware

from papertape.api import commands, docs, health, login, metrics, openapi, signals, stream_routes
from papertape.api.gate import SCOPE_KEY, Access
from papertape.api.middleware import BODY_BYTES_MAX, SecurityMiddleware
from papertape.api.problems import HANDLERS, Handler, http_problem
from papertape.api.repetitions import HEADER
from papertape.api.routes import Guarded
from papertape.api.view_handler import ViewHandler
from papertape.api.views import charts, event_file, history, installation, jobs, library, studies, trades, trading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import Response

    from papertape.api.gate import Gate
    from papertape.api.streams import Streams
    from papertape.projections.site.ports import Site


COMPRESSED_BYTES_MIN: Final = 1_024
COMPRESSION_LEVEL: Final = 4
"""Twice as fast as the default for answers that are 5 % larger."""
VIEWS = (*trading.VIEWS, *trades.VIEWS, *charts.VIEWS, *history.VIEWS, *installation.VIEWS, *signals.VIEWS)


def api_routes(site: Site, gate: Gate, streams: Streams) -> list[Guarded]:
    """Return all routes of the API, including its description."""
    routes, version = answering_routes(site, gate, streams), site.settings.version
    return [*routes, openapi.route(routes, version), *docs.routes(routes, version)]


def answering_routes(site: Site, gate: Gate, streams: Streams) -> list[Guarded]:
    """Return the routes that serve a log."""
    handler = ViewHandler(site)

    def wrong_tokens() -> int:
        return gate.failed_attempts.total

    return [
        *health.routes(site, streams, wrong_tokens),
        metrics.route(site, streams, wrong_tokens),
        *(handler.route(view) for view in VIEWS),
        trades.csv_route(handler),
        event_file.csv_route(handler),
        *stream_routes.routes(streams, site.timeline),
        *commands.routes(site),
        signals.route(site),
        *studies.routes(site),
        *library.routes(site),
        *jobs.routes(site),
        *login.routes(),
    ]


def application(
    site: Site,
    gate: Gate,
    streams: Streams,
    pages: Sequence[Guarded] = (),
    not_found_page: Handler | None = None,
) -> Starlette:
    """Build the application. Raise TypeError for a route that does not state its access.

    `not_found_page` answers a browser that requests an unknown address; a program gets a problem document.
    """
    middleware = [
        *_cross_origin(gate),
        Middleware(GZipMiddleware, minimum_size=COMPRESSED_BYTES_MIN, compresslevel=COMPRESSION_LEVEL),
        Middleware(SecurityMiddleware, gate=gate),
        Middleware(RequestBodyLimitMiddleware, max_body_size=BODY_BYTES_MAX),
    ]
    return _starlette([*api_routes(site, gate, streams), *pages], not_found_page, middleware)


def inner_application(
    site: Site, gate: Gate, streams: Streams, pages: Sequence[Guarded], not_found_page: Handler
) -> Starlette:
    """Build the application of an additional log, which is mounted in `application` and protected by its middleware."""
    return _starlette([*answering_routes(site, gate, streams), *pages], not_found_page, ())


def _starlette(
    routes: Sequence[Guarded], not_found_page: Handler | None, middleware: Sequence[Middleware]
) -> Starlette:
    for route in routes:
        if not isinstance(route, Guarded):
            raise TypeError(f"{route} does not state its access; build it with a class of api.routes")
    handlers = {**HANDLERS, 404: _not_found(not_found_page)}
    app = Starlette(routes=routes, exception_handlers=handlers, middleware=middleware)
    # A redirect between paths with and without a trailing slash would give each route a second address.
    app.router.redirect_slashes = False
    return app


def _cross_origin(gate: Gate) -> list[Middleware]:
    """Return what lets the pages of other sites read answers; nothing unless the owner named such sites."""
    if not gate.cors_origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=gate.cors_origins,
            allow_methods=("GET", "POST"),
            allow_headers=("authorization", "content-type", "if-none-match", "last-event-id", HEADER),
            expose_headers=("etag", "retry-after"),
        )
    ]


def _not_found(page: Handler | None) -> Handler:
    """Return the handler for an unknown address: `page` for browsers, a problem document for programs."""

    async def answer(request: Request, error: HTTPException) -> Response:
        if page is None or "text/html" not in request.headers.get("accept", ""):
            return await http_problem(request, error)
        gate: Gate = request.scope[SCOPE_KEY]
        return gate.refusal(Access.PAGE, request) or await page(request, error)

    return answer
