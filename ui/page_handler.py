"""Answers requests for pages: builds the page request, loads the page's context, and renders HTML."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from starlette.responses import HTMLResponse

from papertape.api.gate import SCOPE_KEY
from papertape.events.errors import PapertapeError, UsageError
from papertape.projections.site.neighbours import find_neighbours
from papertape.projections.site.readiness import readiness
from papertape.ui.page_request import PageRequest, views_of
from papertape.ui.rendering import ASSETS, environment, render
from papertape.ui.search_cache import SearchCache

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import Response

    from papertape.api.gate import Gate
    from papertape.projections.site.ports import Progress, Site
    from papertape.projections.site.views import Views

BASE, BARE = "base.html", "bare.html"
REQUEST_PARAMETERS = frozenset({"as_of", "part"})
NOT_FOUND, UNAVAILABLE = 404, 503
ADDRESS_CHARS_MAX = 200


class PageDefinition(Struct, frozen=True):
    """A page: its address, the name of its templates, its title, and the function that loads its context."""

    path: str
    name: str
    title: str
    load: Callable[[PageRequest], Awaitable[Struct]]
    moves: bool = True
    """Whether its content changes with new events, so that the browser refreshes it."""
    from_log: bool = False
    """Whether it can be read straight from the log while the first fold of the views runs."""


class PageHandler:
    """Answers requests for pages of one site."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.searches = SearchCache()
        self.with_scripts = (ASSETS / "htmx.js").is_file()

    async def page_request(self, request: Request, *, from_log: bool = False) -> PageRequest:
        """Return the page request. Raise UsageError for an unknown time, LogBusy during the first fold.

        If `from_log`, return views without figures during the first fold instead.
        """
        as_of, folding = request.query_params.get("as_of", "").strip(), self.site.timeline.folding
        if from_log and folding is not None and not as_of:
            return await self._page_request(
                await self.site.timeline.unfolded(), live=True, request=request, folding=folding
            )
        return await self._page_request(*await views_of(self.site, as_of), request)

    async def newest_request(self) -> PageRequest:
        """Return a request for the newest views, even while they show only part of the log."""
        return await self._page_request(self.site.timeline.views, live=True)

    async def _page_request(
        self, views: Views, live: bool, request: Request | None = None, folding: Progress | None = None
    ) -> PageRequest:
        query = {} if request is None else dict(request.query_params)
        return PageRequest(
            site=self.site,
            views=views,
            live=live,
            now_ms=time.time_ns() // 1_000_000,
            engine=await self.site.engine.status(),
            part=query.get("part", ""),
            path={} if request is None else request.path_params,
            query={name: value for name, value in query.items() if name not in REQUEST_PARAMETERS},
            searches=self.searches,
            first_fold=folding,
        )

    async def answer(self, request: Request, page: PageDefinition) -> Response:
        """Return a page, or the requested part of it."""
        try:
            page_request = await self.page_request(request, from_log=page.from_log)
            return HTMLResponse(await self._render(request, page, page_request))
        except UsageError as error:
            return await self.error_page(request, str(error), NOT_FOUND)
        except PapertapeError as error:
            return await self.error_page(request, str(error), UNAVAILABLE)

    async def _render(self, request: Request, page: PageDefinition, page_request: PageRequest) -> str:
        template, layout = _template(page, page_request.part)
        # The views advance while other tasks run: after this line none does.
        loaded = await page.load(page_request)
        context = self.context(page_request, request.scope["path"], page)
        return render(template, {**context, **_login_state(request, page_request), "page": loaded, "layout": layout})

    def context(self, page_request: PageRequest, address: str, page: PageDefinition) -> dict[str, Any]:
        """Return the values that every template can use."""
        return {
            "request": page_request,
            "site": self.site.settings,
            "address": address,
            "definition": page,
            "contracts": page_request.views.contracts.by_symbol,
            "portfolio": page_request.views.portfolio.view(),
            "steps": None if page_request.live else find_neighbours(self.site.timeline.views, page_request.seq),
            "ready": readiness(
                page_request.views,
                page_request.engine,
                page_request.head_seq,
                page_request.folding,
                page_request.outage,
            ),
            "with_scripts": self.with_scripts,
        }

    async def not_found(self, request: Request, _: HTTPException) -> Response:
        """Answer a browser that requests an unknown address."""
        address = request.scope["path"][:ADDRESS_CHARS_MAX]
        return await self.error_page(request, f"There is no page at {address}.", NOT_FOUND)

    async def error_page(self, request: Request, text: str, status: int) -> Response:
        """Return an error page with a link to the overview."""
        page_request = await self.newest_request()
        title = "Not found" if status == NOT_FOUND else "Reading the log" if page_request.folding else "Not available"
        page = PageDefinition("", "error", title, empty_context, moves=False)
        context = {
            **self.context(page_request, request.scope["path"], page),
            **_login_state(request, page_request),
            "text": text,
            "status": status,
            "layout": BASE,
        }
        return HTMLResponse(render("error.html", context), status)


def _login_state(request: Request, page_request: PageRequest) -> dict[str, object]:
    """Return whether this browser is logged in and may act; not for parts that all browsers share."""
    gate: Gate = request.scope[SCOPE_KEY]
    logged_in = gate.is_logged_in(request)
    return {"logged_in": logged_in, "no_actions": _why_no_actions(page_request, logged_in=logged_in)}


def _why_no_actions(request: PageRequest, *, logged_in: bool) -> str:
    """Return why the page offers no commands: `past`, `finished`, `engine` or `login`; empty if it does."""
    if not request.live:
        return "past"
    if not request.site.settings.commands_allowed:
        return "finished"
    if request.engine is None:
        return "engine"
    return "" if logged_in else "login"


async def empty_context(_: PageRequest) -> Struct:
    """Return the context of a page that needs none."""
    return Struct()


def _template(page: PageDefinition, part: str) -> tuple[str, str]:
    """Return the template of a page or of a part, and its layout. Raise UsageError for an unknown part.

    `content` is everything that changes on a live page; `picture` is the data of its chart.
    """
    if part in ("", "content"):
        return f"{page.name}.html", BARE if part else BASE
    if part == "picture" and f"{page.name}/picture.html" in environment().list_templates():
        return f"{page.name}/picture.html", BARE
    raise UsageError(f"the page has no part {part[:40]!r}")
