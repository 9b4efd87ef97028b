"""Studies: the list, one study with its verdict, and its sets in any order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta, Struct
from starlette.exceptions import HTTPException
from starlette.responses import Response

from papertape.api.gate import Access
from papertape.api.query import LIMIT_DEFAULT, NAME_CHARS_MAX, Limit, Seq, read
from papertape.api.ranges import Cursor, check_cursor, check_one_name, former_name, newest_page
from papertape.api.routes import GuardedRoute, Operation
from papertape.projections.studies.detail import StudyDetail, study_detail
from papertape.projections.studies.reader import SetPage, SortColumn, StudySummary

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from papertape.projections.site.ports import Site
    from papertape.projections.studies.reader import StudyFolder

JSON = "application/json"
StudyName = Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX)]


class StudiesQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """A page of studies."""

    limit: Limit = LIMIT_DEFAULT
    cursor: Cursor = 0


class StudyQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """One study."""

    name: StudyName


class SetsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which sets of a study, in which order; `span` is 0 for the whole data."""

    name: StudyName
    span: Seq = 0
    sort: SortColumn = "number"
    order: Literal["ascending", "descending"] = "ascending"
    limit: Limit = LIMIT_DEFAULT
    cursor: Cursor = 0
    after: Annotated[int, former_name("cursor")] = 0


class StudyList(Struct, frozen=True):
    """A page of studies, the newest first. `next` is the `cursor` of the next page, None on the last one."""

    items: tuple[StudySummary, ...]
    next: int | None = None


def routes(site: Site) -> list[GuardedRoute]:
    """Return the routes of the studies."""

    async def studies(request: Request) -> Response:
        query, folder = read(StudiesQuery, request), site.studies
        found = () if folder is None else await asyncio.to_thread(folder.summaries)
        return _answer(StudyList(*newest_page(found, query.cursor, query.limit)))

    async def study(request: Request) -> Response:
        query = read(StudyQuery, request)
        return await _of_study(site, query.name, lambda folder: study_detail(folder.study(query.name)))

    async def sets(request: Request) -> Response:
        query = read(SetsQuery, request)
        check_one_name("cursor", query.cursor or None, "after", query.after or None)
        return await _of_study(site, query.name, lambda folder: _sets(folder, query))

    described = (
        (
            "studies",
            studies,
            Operation("The studies, the newest first, in pages", StudyList, StudiesQuery, refusals=(422,)),
        ),
        (
            "studies/{name}",
            study,
            Operation(
                "One study: its plan, its verdict with the gates, and all conclusions",
                StudyDetail,
                StudyQuery,
                refusals=(404, 422),
                about="A file that cannot be read has a `problem`, and neither plan nor document.",
            ),
        ),
        (
            "studies/{name}/sets",
            sets,
            Operation(
                "The sets of a study with their figures over one span, in pages",
                SetPage,
                SetsQuery,
                refusals=(404, 422),
                about="Sets without a value of the sorted column come last.",
            ),
        ),
    )
    return [
        GuardedRoute(f"/api/v1/{path}", endpoint, access=Access.READ, operation=operation)
        for path, endpoint, operation in described
    ]


def _sets(folder: StudyFolder, query: SetsQuery) -> SetPage:
    first, descending = query.cursor or query.after, query.order == "descending"
    page = folder.sets(query.name, query.span, query.sort, first, query.limit, descending=descending)
    check_cursor(query.cursor, page.total)
    return page


async def _of_study(site: Site, name: str, load: Callable[[StudyFolder], Struct]) -> Response:
    """Return what a study answers. Raise HTTPException 404 without a folder, UsageError for an unknown name."""
    if site.studies is None:
        raise HTTPException(404, f"there is no study {name!r}")
    return _answer(await asyncio.to_thread(load, site.studies))


def _answer(view: Struct) -> Response:
    return Response(msgspec.json.encode(view), media_type=JSON)
