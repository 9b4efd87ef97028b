"""The pages with their addresses and access levels; the application serves them beside the API."""

from __future__ import annotations

import gzip
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

from papertape.api.gate import Access
from papertape.api.routes import Guarded, GuardedMount, GuardedRoute
from papertape.api.streams import EventStream
from papertape.ui import crash
from papertape.ui.arena import arena, strategy
from papertape.ui.chart import chart
from papertape.ui.compare import compare
from papertape.ui.events import event, events
from papertape.ui.funnel import funnel
from papertape.ui.health import health
from papertape.ui.library import engines, library, start
from papertape.ui.live_header import LiveHeader
from papertape.ui.login import login_route
from papertape.ui.messages import messages
from papertape.ui.overview import overview
from papertape.ui.page_handler import PageDefinition, PageHandler
from papertape.ui.rendering import ASSETS, STATIC
from papertape.ui.risk import risk
from papertape.ui.studies import studies, study
from papertape.ui.trades import trades

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.types import Scope

    from papertape.api.problems import Handler
    from papertape.api.streams import Streams
    from papertape.projections.site.ports import Site

CACHE_FOREVER: Final = "public, max-age=31536000, immutable"
"""The address of a file changes with its content, so browsers may cache it forever."""
FILES_MAX: Final = 64


PAGES: Final = (
    PageDefinition("/", "overview", "Overview", overview),
    PageDefinition("/arena", "arena", "Arena", arena),
    PageDefinition("/strategy/{name}", "strategy", "Strategy", strategy),
    PageDefinition("/funnel/{name}", "funnel", "Funnel", funnel, moves=False),
    PageDefinition("/chart", "chart", "Chart", chart, from_log=True),
    PageDefinition("/chart/{symbol}", "chart", "Chart", chart, from_log=True),
    PageDefinition("/trades", "trades", "Positions and trades", trades),
    PageDefinition("/risk", "risk", "Risk", risk),
    PageDefinition("/events", "events", "Events", events, from_log=True),
    PageDefinition("/events/{seq}", "event", "Event", event, moves=False, from_log=True),
    PageDefinition("/messages", "messages", "Messages", messages),
    PageDefinition("/system", "health", "Health", health),
    PageDefinition("/studies", "studies", "Studies", studies, moves=False),
    PageDefinition("/studies/{name}", "study", "Study", study, moves=False),
)
LIBRARY_PAGES: Final = (
    PageDefinition("/library", "library", "Library", library, moves=False),
    PageDefinition("/library/start", "start", "Run a backtest or a sweep", start, moves=False),
    PageDefinition("/engines", "engines", "Engines", engines, moves=False),
    PageDefinition("/compare", "compare", "Compare", compare, moves=False),
)
"""The pages about all logs, which the log that the page was started with serves for all that are opened from it."""


def pages(site: Site, streams: Streams) -> list[Guarded]:
    """Return the routes of all pages, of their live updates, and of the files they load."""
    handler = PageHandler(site)
    return [
        *(_route(handler, page) for page in LIBRARY_PAGES),
        *opened_pages(site, streams),
        login_route(),
        *crash.routes(site),
        GuardedMount("/static", CachedStaticFiles(directory=STATIC), access=Access.OPEN),
        GuardedMount("/assets", CachedStaticFiles(directory=ASSETS, check_dir=False), access=Access.OPEN),
    ]


def opened_pages(site: Site, streams: Streams) -> list[Guarded]:
    """Return the routes of the pages about one log, and of their live updates."""
    handler = PageHandler(site)
    header = LiveHeader(handler, streams)

    async def stream(_: Request) -> Response:
        return EventStream(streams, header.frames)

    return [
        *(_route(handler, page) for page in PAGES),
        GuardedRoute("/pages/stream", stream, access=Access.READ, live=True),
    ]


def error_page(site: Site) -> Callable[[Request, str, int], Awaitable[Response]]:
    """Return the function that answers with an error page: the request, the text and the status."""
    return PageHandler(site).error_page


def not_found_page(site: Site) -> Handler:
    """Return the handler for an unknown address."""
    return PageHandler(site).not_found


def _route(handler: PageHandler, page: PageDefinition) -> GuardedRoute:
    async def endpoint(request: Request) -> Response:
        return await handler.answer(request, page)

    return GuardedRoute(page.path, endpoint, access=Access.PAGE)


class CachedStaticFiles(StaticFiles):
    """Static files that browsers may cache forever; text is compressed once, and better than an answer could be."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return a file, cacheable if its address contains the digest of its content."""
        response = await super().get_response(path, scope)
        if response.status_code >= 400 or b"v=" not in scope["query_string"]:
            return response
        response.headers["cache-control"] = CACHE_FOREVER
        is_text = "font" not in (response.media_type or "")
        accepts = "gzip" in Headers(scope=scope).get("accept-encoding", "")
        if scope["method"] == "GET" and isinstance(response, FileResponse) and is_text and accepts:
            content = _compressed(str(response.path), response.headers["etag"])
            headers = {"cache-control": CACHE_FOREVER, "content-encoding": "gzip", "vary": "Accept-Encoding"}
            return Response(content, headers=headers, media_type=response.media_type)
        return response


@lru_cache(maxsize=FILES_MAX)
def _compressed(path: str, _etag: str) -> bytes:
    return gzip.compress(Path(path).read_bytes(), mtime=0)
