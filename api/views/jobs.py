"""Jobs: start a backtest or a sweep, watch it, cancel it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta, Struct
from starlette.exceptions import HTTPException
from starlette.responses import Response

from papertape.api.gate import Access
from papertape.api.problems import problem
from papertape.api.query import body, read
from papertape.api.repetitions import Repetitions
from papertape.api.routes import GuardedRoute, Operation
from papertape.events.errors import ConfigError, UsageError
from papertape.projections.site.library import BacktestRequest, JobView, SweepRequest

if TYPE_CHECKING:
    from starlette.requests import Request

    from papertape.projections.site.library import Jobs
    from papertape.projections.site.ports import Site

JOB_CHARS_MAX = 20
COMMAND_REFUSALS = (413, 415, 422, 503)


class JobsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The list takes no parameters."""


class JobQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """One job."""

    job: Annotated[str, Meta(min_length=1, max_length=JOB_CHARS_MAX)]


class JobList(Struct, frozen=True):
    """The jobs of this page, newest first; `refusal` says why none can be started, and is empty if one can."""

    items: tuple[JobView, ...]
    refusal: str


def routes(site: Site) -> list[GuardedRoute]:
    """Return the routes of the jobs."""
    repetitions = Repetitions()

    async def listed(request: Request) -> Response:
        read(JobsQuery, request)
        jobs = _jobs(site)
        return _answer(JobList(jobs.views(), jobs.refusal))

    async def job(request: Request) -> Response:
        return _answer(_find(_jobs(site), read(JobQuery, request).job))

    async def cancel(request: Request) -> Response:
        return _answer(await _jobs(site).cancel(read(JobQuery, request).job))

    async def again(request: Request) -> Response:
        jobs = _jobs(site)
        return _refusal(jobs) or _answer(await jobs.again(read(JobQuery, request).job))

    return [
        _route(
            "jobs",
            listed,
            Operation("The jobs of this page, the newest first", JobList, JobsQuery, refusals=(404, 422)),
        ),
        _route("jobs/{job}", job, Operation("One job with its progress", JobView, JobQuery, refusals=(404, 422))),
        _start(site, repetitions, "backtest", BacktestRequest, "Start a backtest as a child process"),
        _start(site, repetitions, "sweep", SweepRequest, "Start a sweep as a child process"),
        _route(
            "jobs/{job}/cancel",
            cancel,
            Operation("Cancel a job", JobView, JobQuery, refusals=(404, 409, 422), about="A sweep stays resumable."),
            "POST",
        ),
        _route(
            "jobs/{job}/again",
            again,
            Operation(
                "Resume a sweep that was cancelled or failed, where it stopped",
                JobView,
                JobQuery,
                refusals=(404, 409, 422, 503),
            ),
            "POST",
        ),
    ]


def _start(site: Site, repetitions: Repetitions, name: str, kind: type[Any], summary: str) -> GuardedRoute:
    async def endpoint(request: Request) -> Response:
        asked = await body(kind, request)
        jobs = _jobs(site)

        async def start() -> Response:
            try:
                return _answer(await jobs.start(asked))
            except (UsageError, ConfigError) as error:
                raise HTTPException(422, str(error)) from None

        return _refusal(jobs) or await repetitions.once(request, start)

    about = "Jobs run one at a time and end with the page. With the same Idempotency-Key header, a job starts once."
    operation = Operation(summary, JobView, body=kind, refusals=(404, 409, *COMMAND_REFUSALS), about=about)
    return _route(f"jobs/{name}", endpoint, operation, "POST")


def _route(path: str, endpoint: Any, operation: Operation, method: str = "GET") -> GuardedRoute:
    access = Access.READ if method == "GET" else Access.COMMAND
    return GuardedRoute(f"/api/v1/{path}", endpoint, access=access, method=method, operation=operation)


def _jobs(site: Site) -> Jobs:
    """Return the jobs. Raise HTTPException 404 for a log that was opened from a library."""
    if site.jobs is None:
        raise HTTPException(404, "this log was opened from a library; ask the page that opened it")
    return site.jobs


def _refusal(jobs: Jobs) -> Response | None:
    return problem(403, jobs.refusal) if jobs.refusal else None


def _find(jobs: Jobs, number: str) -> JobView:
    """Return a job. Raise UsageError for an unknown id."""
    found = next((one for one in jobs.views() if one.id == number), None)
    if found is None:
        raise UsageError(f"there is no job {number!r}")
    return found


def _answer(view: Struct) -> Response:
    return Response(msgspec.json.encode(view), media_type="application/json")
