"""What goes wrong on the way to an answer, as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from papertape.events.errors import CommandRefused, CommandUnanswered, LogBusy, PapertapeError, UsageError

if TYPE_CHECKING:
    from starlette.requests import Request

MEDIA_TYPE: Final = "application/problem+json"
DETAIL_CHARS_MAX: Final = 500
BUSY_RETRY_S: Final = 5
Handler = Callable[["Request", Any], Awaitable[Response]]


class Problem(Struct, frozen=True, omit_defaults=True):
    """Why there is no answer. `title` is the status in words, `detail` says what it is this time."""

    title: str
    status: int
    detail: str = ""
    type: str = "about:blank"


def problem(status: int, detail: str = "", headers: Mapping[str, str] | None = None) -> Response:
    """The response of a problem; it is never kept by a cache."""
    body = Problem(HTTPStatus(status).phrase, status, detail[:DETAIL_CHARS_MAX])
    kept = {"cache-control": "no-store", **(headers or {})}
    return Response(msgspec.json.encode(body), status, kept, MEDIA_TYPE)


def busy_problem(detail: str) -> Response:
    """The problem of a limit that is reached: try again a little later."""
    return problem(503, detail, {"retry-after": str(BUSY_RETRY_S)})


async def http_problem(_: Request, error: HTTPException) -> Response:
    """What a route says itself, and what the framework says: not found, method not allowed, body too large."""
    said = "" if error.detail == HTTPStatus(error.status_code).phrase else error.detail
    return problem(error.status_code, said, error.headers)


async def _not_there(_: Request, error: UsageError) -> Response:
    """A name or a seq that the log does not have."""
    return problem(404, str(error))


async def _refused(_: Request, error: CommandRefused) -> Response:
    """A command that does not fit the state as it is."""
    return problem(409, str(error))


async def _unanswered(_: Request, error: CommandUnanswered) -> Response:
    """Nobody knows whether the command was taken: not to be tried again before a look at the log."""
    return problem(504, str(error))


async def _waits(_: Request, error: LogBusy) -> Response:
    """Too many read at once."""
    return busy_problem(str(error))


async def _log_says_no(_: Request, error: PapertapeError) -> Response:
    """A damaged or missing log: nothing can be shown until somebody looks at it."""
    return problem(503, str(error))


async def _cut_off(_: Request, __: ClientDisconnect) -> Response:
    """Answer a request whose body was cut off, if the client still reads."""
    return problem(400, "the request body is incomplete")


async def _bug(_: Request, error: Exception) -> Response:
    """Anything else is a bug; the server's own log has its traceback, the client does not."""
    return problem(500, f"a bug in papertape: {type(error).__name__}; the server's log says more")


HANDLERS: Final[Mapping[Any, Handler]] = {
    HTTPException: http_problem,
    UsageError: _not_there,
    CommandRefused: _refused,
    CommandUnanswered: _unanswered,
    LogBusy: _waits,
    PapertapeError: _log_says_no,
    ClientDisconnect: _cut_off,
    500: _bug,
}
"""For Starlette: the most specific one of an error's classes counts."""
