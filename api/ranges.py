"""The ranges and pages of lists: the same parameters, checks and cursors everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, TypeVar

from msgspec import Meta, field
from starlette.exceptions import HTTPException

from papertape.api.query import SEQ_MAX, Query
from papertape.events.errors import UsageError
from papertape.projections.text.formats import MOMENT_MS_MAX, moment_ms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.projections.site.ports import Timeline

T = TypeVar("T")
TIME_CHARS_MAX: Final = 40
Time = Annotated[
    str,
    Meta(
        max_length=TIME_CHARS_MAX,
        description="A market day or time in UTC such as 2025-03-01T14:05, inclusive; a day is its first moment, and "
        "empty means any.",
    ),
]
Cursor = Annotated[
    int, Meta(ge=0, le=SEQ_MAX, description="The `next` of the page before; 0, the default, asks for the first page.")
]
After = Annotated[int, Meta(ge=0, le=SEQ_MAX, description="Only what came after this event; 0 means any.")]
Before = Annotated[int, Meta(ge=0, le=SEQ_MAX, description="Only what came before this event; 0 means any.")]


class TimeRangeQuery(Query, frozen=True, forbid_unknown_fields=True):
    """A range of market time."""

    from_: Time = field(default="", name="from")
    to: Time = ""


class RangeQuery(TimeRangeQuery, frozen=True, forbid_unknown_fields=True):
    """A range of market time and of events; both limit what is listed."""

    after: After = 0
    before: Before = 0


def time_range(query: TimeRangeQuery) -> tuple[int, int]:
    """Return the first and the last moment in UTC ms. Raise HTTPException 422 for no time, and for an empty range."""
    from_ms, until_ms = _ms("from", query.from_, 0), _ms("to", query.to, MOMENT_MS_MAX)
    if from_ms > until_ms:
        raise HTTPException(422, f"from: {query.from_} is later than to: {query.to}")
    return from_ms, until_ms


def _ms(name: str, text: str, default_ms: int) -> int:
    at_ms = moment_ms(text) if text else default_ms
    if at_ms is None:
        raise HTTPException(422, f"{name}: {text!r} is not a time such as 2025-03-01T14:05")
    return at_ms


def seq_range(query: RangeQuery) -> tuple[int, int]:
    """Return the first and the last possible seq. Raise HTTPException 422 for an empty range."""
    if query.before and query.after >= query.before:
        raise HTTPException(422, f"after: {query.after} is not smaller than before: {query.before}")
    return query.after + 1, (query.before or SEQ_MAX + 1) - 1


async def events_in(query: RangeQuery, head_seq: int, timeline: Timeline) -> tuple[int, int]:
    """Return the first and the last event of a range, up to `head_seq`; the first is larger if there is none.

    A time stands for the events that were known then, as in `as_of`. Raise HTTPException 422 like the other ranges.
    """
    (first, last), (from_ms, until_ms) = seq_range(query), time_range(query)
    last = min(last, head_seq)
    if query.from_:
        first = max(first, await _known_at(from_ms - 1, timeline) + 1)
    if query.to:
        last = min(last, await _known_at(until_ms, timeline))
    return first, last


async def _known_at(at_ms: int, timeline: Timeline) -> int:
    """Return the last event that was known at a market time, 0 before the first candle."""
    try:
        return await timeline.seq_at(at_ms)
    except UsageError:  # The log begins later.
        return 0


def check_cursor(cursor: int, largest: int) -> None:
    """Raise HTTPException 422 for a cursor that no page of this list has named."""
    if cursor > largest:
        raise HTTPException(422, f"cursor: {cursor} is not the `next` of a page of this list")


def newest_page(items: Sequence[T], cursor: int, limit: int) -> tuple[tuple[T, ...], int | None]:
    """Return a page of a list with the newest first, and the next cursor: how many items are older than the page.

    Counted from the end, a cursor keeps its meaning when newer items arrive.
    """
    check_cursor(cursor, len(items))
    first = len(items) - cursor if cursor else 0
    page = tuple(items[first : first + limit])
    return page, len(items) - first - len(page) or None


def former_name(name: str) -> Meta:
    """Return the description of a parameter that is accepted under its former name too."""
    return Meta(ge=0, le=SEQ_MAX, description=f"The former name of `{name}`.", extra_json_schema={"deprecated": True})


def check_one_name(name: str, value: int | None, former: str, former_value: int | None) -> None:
    """Raise HTTPException 422 if a parameter is given under both its names."""
    if value is not None and former_value is not None:
        raise HTTPException(422, f"{former}: it is the former name of {name}, which is given too")
