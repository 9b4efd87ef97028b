"""What a request asks for, as a typed Struct: one description reads it, refuses it, and stands in the API's own."""

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
"""The largest whole number that JavaScript knows."""
NAME_CHARS_MAX: Final = 100
LIMIT_MAX: Final = 1_500
LIMIT_DEFAULT: Final = 100
MOMENT_CHARS_MAX: Final = 40

Name = Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX)]
Seq = Annotated[int, Meta(ge=0, le=SEQ_MAX)]
Limit = Annotated[int, Meta(ge=1, le=LIMIT_MAX, description="At most so many.")]
Moment = Annotated[
    str,
    Meta(
        max_length=MOMENT_CHARS_MAX,
        description="A seq, or a day or time of the market in UTC like 2025-03-01T14:05; empty is the newest.",
    ),
]


class Query(Struct, frozen=True, forbid_unknown_fields=True):
    """What every question of a log may say: as of when."""

    as_of: Moment = ""


def read(kind: type[T], request: HTTPConnection) -> T:
    """The query and the path of a request. Raises HTTPException 422 naming what is wrong."""
    given: dict[str, object] = dict(request.path_params)
    many = [field.name for field in msgspec.structs.fields(kind) if "tuple" in str(field.type)]
    for name in request.query_params:
        values = request.query_params.getlist(name)
        if name in request.path_params or (len(values) > 1 and name not in many):
            raise HTTPException(422, f"{name[:NAME_CHARS_MAX]!r} is given twice")
        given[name] = values if name in many else values[0]
    return _as(kind, given)


def _as(kind: type[T], given: dict[str, object]) -> T:
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise HTTPException(422, str(error)) from None


async def body(kind: type[T], request: Request) -> T:
    """The JSON body of a request. Raises HTTPException 415 for another kind of body, 422 for what is wrong in it."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise HTTPException(415, "a command is JSON: Content-Type: application/json")
    try:
        return cast("T", decode_json(await request.body(), kind))
    except msgspec.DecodeError as error:
        raise HTTPException(422, str(error)) from None
