"""The library: what the data folders hold, two of its logs compared, and the followed logs side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.responses import Response

from papertape.api.gate import Access
from papertape.api.problems import busy_problem
from papertape.api.query import Name, read
from papertape.api.routes import GuardedRoute, Operation
from papertape.projections.folds.log_diff import Comparison
from papertape.projections.site.library import EnginesView, LibraryView

if TYPE_CHECKING:
    from starlette.requests import Request

    from papertape.projections.site.library import Library
    from papertape.projections.site.ports import Site

JSON: Final = "application/json"
COMPARE_S_MAX: Final = 10.0


class LibraryQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """It takes no parameters."""


class ComparisonQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The ids of two logs of the library."""

    a: Name
    b: Name


def routes(site: Site) -> list[GuardedRoute]:
    """Return the routes of the library."""

    async def library(request: Request) -> Response:
        read(LibraryQuery, request)
        return _answer(await library_of(site).view())

    async def engines(request: Request) -> Response:
        read(LibraryQuery, request)
        return _answer(await library_of(site).engines())

    async def comparison(request: Request) -> Response:
        query = read(ComparisonQuery, request)
        found = await library_of(site).comparison(query.a, query.b, COMPARE_S_MAX)
        return busy_problem("both logs are being read; ask again in a moment") if found is None else _answer(found)

    described = (
        (
            "library",
            library,
            Operation(
                "The logs, backtests, studies, archives and backups of the data folders",
                LibraryView,
                LibraryQuery,
                refusals=(404, 422),
                about="Nothing is folded for it. `address` is the page that opens an entry: all views of a log at "
                "`/open/ID/` are below it, such as `/open/ID/api/v1/arena`.",
            ),
        ),
        (
            "engines",
            engines,
            Operation(
                "The followed logs, their totals and one joint ranking", EnginesView, LibraryQuery, refusals=(404, 422)
            ),
        ),
        (
            "comparison",
            comparison,
            Operation(
                "Two logs and the first decision that differs", Comparison, ComparisonQuery, refusals=(404, 422, 503)
            ),
        ),
    )
    return [
        GuardedRoute(f"/api/v1/{path}", endpoint, access=Access.READ, operation=operation)
        for path, endpoint, operation in described
    ]


def library_of(site: Site) -> Library:
    """Return the library. Raise HTTPException 404 for a log that was opened from a library."""
    if site.library is None:
        raise HTTPException(404, "this log was opened from a library; ask the page that opened it")
    return site.library


def _answer(view: Struct) -> Response:
    return Response(msgspec.json.encode(view), media_type=JSON)
