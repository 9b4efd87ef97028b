"""One installation's pages: looks are taken here, and answered with HTML."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from starlette.responses import HTMLResponse

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

    from papertape.projections.site.ports import Site
    from papertape.projections.site.views import Views

BASE, BARE = "base.html", "bare.html"
NOT_OF_A_PAGE = frozenset({"as_of", "part"})
NOT_FOUND, UNAVAILABLE = 404, 503
ADDRESS_CHARS_MAX = 200


class PageDefinition(Struct, frozen=True):
    """A page: its address, the folder of its templates, its title, and who makes its context."""

    path: str
    name: str
    title: str
    load: Callable[[PageRequest], Awaitable[Struct]]
    moves: bool = True
    """Whether what it shows changes with every event, so that it fetches itself anew."""


class PageHandler:
    """Answers requests for pages of one site."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.searches = SearchCache()
        self.with_scripts = (ASSETS / "htmx.js").is_file()

    async def look(self, request: Request) -> PageRequest:
        """Return the view for a request. Raise UsageError for an unknown time, LogBusy during the first fold."""
        as_of = request.query_params.get("as_of", "").strip()
        return await self._look_at(*await views_of(self.site, as_of), request)

    async def look_at_head(self) -> PageRequest:
        """Return the newest view, even while it shows only part of the log."""
        return await self._look_at(self.site.timeline.views, live=True)

    async def _look_at(self, views: Views, live: bool, request: Request | None = None) -> PageRequest:
        query = {} if request is None else dict(request.query_params)
        return PageRequest(
            site=self.site,
            views=views,
            live=live,
            now_ms=time.time_ns() // 1_000_000,
            engine=await self.site.engine.status(),
            part=query.get("part", ""),
            path={} if request is None else request.path_params,
            query={name: value for name, value in query.items() if name not in NOT_OF_A_PAGE},
            searches=self.searches,
        )

    async def answer(self, request: Request, page: PageDefinition) -> Response:
        """A page, or the part of it that is asked for."""
        try:
            look = await self.look(request)
            return HTMLResponse(await self._render(request, page, look))
        except UsageError as error:
            return await self._sorry(request, str(error), NOT_FOUND)
        except PapertapeError as error:
            return await self._sorry(request, str(error), UNAVAILABLE)

    async def _render(self, request: Request, page: PageDefinition, look: PageRequest) -> str:
        template, layout = _template(page, look.part)
        # The views move while others have their turn: from here on nobody has.
        loaded = await page.load(look)
        return render(template, {**self.context(look, request.scope["path"], page), "page": loaded, "layout": layout})

    def context(self, look: PageRequest, address: str, page: PageDefinition) -> dict[str, Any]:
        """What every template may use."""
        return {
            "look": look,
            "site": self.site.settings,
            "address": address,
            "this": page,
            "contracts": look.views.contracts.by_symbol,
            "desk": look.views.portfolio.view(),
            "steps": None if look.live else find_neighbours(self.site.timeline.views, look.seq),
            "ready": readiness(look.views, look.engine, look.head_seq, look.folding, look.outage),
            "with_scripts": self.with_scripts,
        }

    async def not_found(self, request: Request, _: HTTPException) -> Response:
        """Answer a browser that requests an unknown address."""
        address = request.scope["path"][:ADDRESS_CHARS_MAX]
        return await self._sorry(request, f"There is no page at {address}.", NOT_FOUND)

    async def _sorry(self, request: Request, text: str, status: int) -> Response:
        """Return an error page with a link to the overview."""
        look = await self.look_at_head()
        title = "Not found" if status == NOT_FOUND else "Reading the log" if look.folding else "Not available"
        page = PageDefinition("", "sorry", title, _nothing, moves=False)
        context = {**self.context(look, request.scope["path"], page), "text": text, "status": status, "layout": BASE}
        return HTMLResponse(render("error.html", context), status)


async def _nothing(_: PageRequest) -> Struct:
    return Struct()


def _template(page: PageDefinition, part: str) -> tuple[str, str]:
    """The template of a page or a part of it, and the frame around it. Raises UsageError for a part there is not.

    `content` is everything that changes while one looks, `picture` what a drawing is made of.
    """
    if part in ("", "content"):
        return f"{page.name}.html", BARE if part else BASE
    if part == "picture" and f"{page.name}/picture.html" in environment().list_templates():
        return f"{page.name}/picture.html", BARE
    raise UsageError(f"the page has no part {part[:40]!r}")
