"""Queries and bodies as typed Structs, which parse and validate requests and describe the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, TypeVar, cast

import msgspec
from msgspec import Meta, Struct
from starlette.exceptions import HTTPException

from papertape.events.lenient_json import decode_json

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection, Request

T = TypeVar("T", bound=Struct)
SEQ_MAX: Final = 2**53 - 1
"""The largest safe integer in JavaScript."""
NAME_CHARS_MAX: Final = 100
LIMIT_MAX: Final = 1_500
LIMIT_DEFAULT: Final = 100
MOMENT_CHARS_MAX: Final = 40

Name = Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX)]
Seq = Annotated[int, Meta(ge=0, le=SEQ_MAX)]
Limit = Annotated[int, Meta(ge=1, le=LIMIT_MAX, description="The maximum number of items.")]
Moment = Annotated[
    str,
    Meta(
        max_length=MOMENT_CHARS_MAX,
        description="A seq, or a market day or time in UTC such as 2025-03-01T14:05; empty means the newest.",
    ),
]


class Query(Struct, frozen=True, forbid_unknown_fields=True):
    """The parameter that every query of a log accepts: as of which moment."""

    as_of: Moment = ""


def read(kind: type[T], request: HTTPConnection) -> T:
    """Return the query and path parameters of a request. Raise HTTPException 422 that names the mistake."""
    parameters: dict[str, object] = dict(request.path_params)
    lists = [field.name for field in msgspec.structs.fields(kind) if "tuple" in str(field.type)]
    for name in request.query_params:
        values = request.query_params.getlist(name)
        if name in request.path_params or (len(values) > 1 and name not in lists):
            raise HTTPException(422, f"{name[:NAME_CHARS_MAX]!r} occurs twice")
        parameters[name] = values if name in lists else values[0]
    try:
        return msgspec.convert(parameters, kind, strict=False)
    except msgspec.ValidationError as error:
        raise HTTPException(422, str(error)) from None


async def body(kind: type[T], request: Request) -> T:
    """Return the JSON body of a request. Raise HTTPException 415 for another media type, 422 for an invalid body."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise HTTPException(415, "a command needs Content-Type: application/json")
    try:
        return cast("T", decode_json(await request.body(), kind))
    except msgspec.DecodeError as error:
        raise HTTPException(422, str(error)) from None
