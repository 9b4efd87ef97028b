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
    """The list takes no parameters."""


class StudyQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """One study."""

    name: StudyName


class SetsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which sets of a study, in which order; `after` is how many to skip, `span` is 0 for the whole data."""

    name: StudyName
    span: Seq = 0
    sort: SortColumn = "number"
    order: Literal["ascending", "descending"] = "ascending"
    after: Seq = 0
    limit: Limit = LIMIT_DEFAULT


class StudyList(Struct, frozen=True):
    """All studies, the newest first."""

    items: tuple[StudySummary, ...]


def routes(site: Site) -> list[GuardedRoute]:
    """Return the routes of the studies."""

    async def studies(request: Request) -> Response:
        read(StudiesQuery, request)
        folder = site.studies
        return _answer(StudyList(() if folder is None else await asyncio.to_thread(folder.summaries)))

    async def study(request: Request) -> Response:
        query = read(StudyQuery, request)
        return await _of_study(site, query.name, lambda folder: study_detail(folder.study(query.name)))

    async def sets(request: Request) -> Response:
        query = read(SetsQuery, request)
        descending = query.order == "descending"
        return await _of_study(
            site,
            query.name,
            lambda folder: folder.sets(
                query.name, query.span, query.sort, query.after, query.limit, descending=descending
            ),
        )

    described = (
        ("studies", studies, Operation("The studies, the newest first", StudyList, StudiesQuery, refusals=(422,))),
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
                about="Sets without a value of the sorted column come last. `next` is the `after` of the next page.",
            ),
        ),
    )
    return [
        GuardedRoute(f"/api/v1/{path}", endpoint, access=Access.READ, operation=operation)
        for path, endpoint, operation in described
    ]


async def _of_study(site: Site, name: str, load: Callable[[StudyFolder], Struct]) -> Response:
    """Return what a study answers. Raise HTTPException 404 without a folder, UsageError for an unknown name."""
    if site.studies is None:
        raise HTTPException(404, f"there is no study {name!r}")
    return _answer(await asyncio.to_thread(load, site.studies))


def _answer(view: Struct) -> Response:
    return Response(msgspec.json.encode(view), media_type=JSON)
