"""Errors as `application/problem+json` (RFC 9457)."""

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


TYPE_PREFIX: Final = "urn:papertape:problem:"
TYPES: Final[Mapping[int, str]] = {
    400: "incomplete-request",
    401: "token-needed",
    403: "not-allowed",
    409: "command-refused",
    413: "body-too-large",
    415: "wrong-media-type",
    421: "unknown-host",
    422: "invalid-request",
    429: "too-many-requests",
    500: "bug",
    503: "unavailable",
    504: "outcome-unknown",
}
"""The type of a problem by its status; that of another status is the status in words, such as `not-found`."""
UNKNOWN_NAME: Final = "unknown-name"


class Problem(Struct, frozen=True):
    """The reason for an error. `title` is the status in words, `detail` explains this occurrence.

    `type` says what kind of problem it is, for programs: `urn:papertape:problem:unknown-name`.
    """

    type: str
    title: str
    status: int
    detail: str = ""


def problem(status: int, detail: str = "", headers: Mapping[str, str] | None = None, kind: str = "") -> Response:
    """Return the response for a problem of a kind, by default that of its status; caches never store it."""
    title = HTTPStatus(status).phrase
    name = kind or TYPES.get(status) or title.lower().replace(" ", "-")
    body = Problem(TYPE_PREFIX + name, title, status, detail[:DETAIL_CHARS_MAX])
    return Response(msgspec.json.encode(body), status, {"cache-control": "no-store", **(headers or {})}, MEDIA_TYPE)


def busy_problem(detail: str) -> Response:
    """Return the 503 for a limit that is reached; the client may retry later."""
    return problem(503, detail, {"retry-after": str(BUSY_RETRY_S)})


async def http_problem(_: Request, error: HTTPException) -> Response:
    """Convert an HTTPException of a route or of the framework, such as 404, 405 or 413."""
    detail = "" if error.detail == HTTPStatus(error.status_code).phrase else error.detail
    return problem(error.status_code, detail, error.headers)


async def _unknown_name(request: Request, error: UsageError) -> Response:
    """Answer a request for a name or a seq that the log does not have: 404 in the path, 422 in the query."""
    return problem(404 if request.path_params else 422, str(error), kind=UNKNOWN_NAME)


async def _refused(_: Request, error: CommandRefused) -> Response:
    """Answer a command that is invalid in the current state."""
    return problem(409, str(error))


async def _unanswered(_: Request, error: CommandUnanswered) -> Response:
    """Answer a command with an unknown outcome: the client must check the log before it retries."""
    return problem(504, str(error))


async def _log_busy(_: Request, error: LogBusy) -> Response:
    """Answer a request while too many others read the log."""
    return busy_problem(str(error))


async def _log_unavailable(_: Request, error: PapertapeError) -> Response:
    """Answer a request for a damaged or missing log."""
    return problem(503, str(error))


async def _incomplete_body(_: Request, __: ClientDisconnect) -> Response:
    """Answer a request whose body was cut off, if the client still reads."""
    return problem(400, "the request body is incomplete")


async def _bug(_: Request, error: Exception) -> Response:
    """Answer after any other exception, which is a bug; the traceback goes only to the server's log."""
    return problem(500, f"a bug in papertape: {type(error).__name__}; the server's log has the details")


HANDLERS: Final[Mapping[Any, Handler]] = {
    HTTPException: http_problem,
    UsageError: _unknown_name,
    CommandRefused: _refused,
    CommandUnanswered: _unanswered,
    LogBusy: _log_busy,
    PapertapeError: _log_unavailable,
    ClientDisconnect: _incomplete_body,
    500: _bug,
}
"""The exception handlers for Starlette, which applies the one for the most specific class."""
