"""Events as plain rows that any program can read, and back: what is exported, imported, and sent with a report.

A row is one event with everything the log knows of it. Rows that share `commit` were one commit. `hash`, on the last
row of a commit, is that of the log that an import makes of the rows, so an import that differs is noticed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import isfinite
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import asdict, replace

from papertape.events.chain import next_row, row_head
from papertape.events.codec import Codec
from papertape.events.errors import PortableDamaged, UsageError
from papertape.events.facts import EVENT_TYPES, Event, FeedLost
from papertape.events.log import COMMIT_EVENTS_MAX, Commit, Entry, Head

REDACTED = "redacted"
PERSONAL = ("who", "why", "detail", "newest")
"""Fields that people and machines write freely: names, reasons, addresses."""
KEPT = frozenset({"configuration"})
"""What the engine itself writes there, and goes by."""
_KINDS = {str(kind.__struct_config__.tag): kind for kind in EVENT_TYPES}


class Row(Struct, frozen=True):
    """One event. `type` is its tag with version, `event` its fields by name as JSON."""

    seq: int
    commit: int
    recorded_at_ms: int
    cause: int
    type: str
    event: str
    hash: str = ""


ROW_FIELDS = Row.__struct_fields__


def redact_event(event: Event) -> Event:
    """The event without what people wrote in it; what the engine decides by stays."""
    names = [name for name in PERSONAL if name in event.__struct_fields__]
    if isinstance(event, FeedLost):
        names.append("reason")
    changes = {name: REDACTED for name in names if (text := getattr(event, name)) and text not in KEPT}
    return replace(event, **changes) if changes else event


def encode_rows(commits: Iterable[Commit], codec: Codec, *, redact: bool) -> Iterator[Row]:
    """The rows of whole commits; from the log's beginning on with the hashes that an import must find again.

    Raises PortableDamaged for a number that no other program could read.
    """
    head: Head | None = Head()
    for commit in commits:
        events = [redact_event(event) for event in commit.events] if redact else commit.events
        if head is not None and head.seq + 1 != commit.seq:
            head = None  # A part of a log has no chain of its own.
        if head is not None:
            entries = list(map(Entry, events, commit.causes))
            head = row_head(next_row(head, entries, commit.recorded_at_ms, codec))
        for offset, (event, cause) in enumerate(zip(events, commit.causes, strict=True)):
            seq = commit.seq + offset
            row_hash = head.hash.hex() if head is not None and seq == commit.last_seq else ""
            tag = str(event.__struct_config__.tag)
            yield Row(seq, commit.seq, commit.recorded_at_ms, cause, tag, _fields_of(event, seq), row_hash)


def _fields_of(event: Event, seq: int) -> str:
    """The fields as JSON, which has no infinity: no fact that a feed lets through holds one."""
    fields = asdict(event)
    text = msgspec.json.encode(fields).decode()
    if "null" in text and not _is_finite(fields):
        raise PortableDamaged(f"seq {seq}: {type(event).__name__} holds a number that is not finite")
    return text


def _is_finite(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or isfinite(value)


def decode_event(row: Row) -> Event:
    """The event of a row. Raises PortableDamaged naming what does not fit."""
    kind = _KINDS.get(row.type)
    if kind is None:
        raise PortableDamaged(f"seq {row.seq}: this version does not know the event {row.type}")
    try:
        fields: dict[str, Any] = msgspec.json.decode(row.event, type=dict[str, Any])
        if fields.keys() != set(kind.__struct_fields__):
            raise PortableDamaged(f"seq {row.seq}: the fields of {row.type} are {', '.join(kind.__struct_fields__)}")
        return msgspec.convert([row.type, *(fields[name] for name in kind.__struct_fields__)], kind)
    except msgspec.MsgspecError as error:
        raise PortableDamaged(f"seq {row.seq}: {row.type} cannot be read: {error}") from error


def group_commits(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """The rows by commit. Raises PortableDamaged where one is missing, comes twice, or belongs to no commit."""
    found: list[Row] = []
    for seq, row in enumerate(rows, start=1):
        if row.seq != seq:
            begins = "; it holds a part of a log, and only a whole one can be imported" if seq == 1 else ""
            raise PortableDamaged(f"seq {seq} is missing: seq {row.seq} stands in its place{begins}")
        if found and row.commit != found[0].commit:
            yield found
            found = []
        found.append(row)
        if row.commit != found[0].seq or len(found) > COMMIT_EVENTS_MAX:
            raise PortableDamaged(f"seq {row.seq}: it says it belongs to the commit at seq {row.commit}")
    if found:
        yield found
    else:
        raise UsageError("it holds no event")
