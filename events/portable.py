"""Convert events to plain rows that any program can read, and back: for exports, imports and problem reports.

A row is one event with everything that the log stores about it. Rows with the same `commit` were one commit. `hash`, on
the last row of a commit, is the hash of that row in the imported log, so a different import is detected.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import isfinite
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import asdict, astuple, replace

from papertape.events.chain import next_row, row_head
from papertape.events.codec import Codec
from papertape.events.errors import PortableDamaged, UsageError
from papertape.events.facts import EVENT_TYPES, Event, FeedLost
from papertape.events.log import COMMIT_EVENTS_MAX, Commit, Entry, Head

REDACTED = "redacted"
PERSONAL = ("who", "why", "detail", "newest", "against_advice")
"""Fields with free text written by people and machines: names, reasons, addresses."""
KEPT = frozenset({"configuration"})
"""Values that the engine itself writes into these fields and evaluates."""
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
    """Return the event without text written by people; whatever affects decisions stays."""
    names = [name for name in PERSONAL if name in event.__struct_fields__]
    if isinstance(event, FeedLost):
        names.append("reason")
    changes = {name: REDACTED for name in names if (text := getattr(event, name)) and text not in KEPT}
    return replace(event, **changes) if changes else event


def encode_rows(commits: Iterable[Commit], codec: Codec, *, redact: bool) -> Iterator[Row]:
    """Yield the rows of whole commits; if they begin at seq 1, with the hashes that an import must reproduce.

    Raise PortableDamaged for a number that other programs cannot read.
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
    """Return the fields as JSON, which has no infinity; feeds let no fact with one through."""
    fields = asdict(event)
    text = msgspec.json.encode(fields).decode()
    if "null" in text and not _is_finite(fields):
        raise PortableDamaged(f"seq {seq}: {type(event).__name__} holds a number that is not finite")
    return text


def _is_finite(value: object) -> bool:
    if isinstance(value, Struct):
        return all(map(_is_finite, astuple(value)))
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or isfinite(value)


def decode_event(row: Row) -> Event:
    """Return the event of a row. Raise PortableDamaged, naming the fault, if the row is invalid."""
    kind = _KINDS.get(row.type)
    if kind is None:
        raise PortableDamaged(f"seq {row.seq}: this version does not know the event {row.type}")
    try:
        fields: dict[str, Any] = msgspec.json.decode(row.event, type=dict[str, Any])
        if fields.keys() != set(kind.__struct_fields__):
            expected = ", ".join(kind.__struct_fields__)
            raise PortableDamaged(f"seq {row.seq}: the fields of {row.type} must be {expected}")
        return msgspec.convert([row.type, *(fields[name] for name in kind.__struct_fields__)], kind)
    except msgspec.MsgspecError as error:
        raise PortableDamaged(f"seq {row.seq}: {row.type} cannot be read: {error}") from error


def group_commits(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield the rows by commit. Raise PortableDamaged for a missing or repeated row, or one of no commit."""
    commit: list[Row] = []
    for seq, row in enumerate(rows, start=1):
        if row.seq != seq:
            hint = "; the file holds a part of a log, and only a whole log can be imported" if seq == 1 else ""
            raise PortableDamaged(f"seq {seq} is missing: seq {row.seq} is in its place{hint}")
        if commit and row.commit != commit[0].commit:
            yield commit
            commit = []
        commit.append(row)
        if row.commit != commit[0].seq or len(commit) > COMMIT_EVENTS_MAX:
            raise PortableDamaged(f"seq {row.seq}: it cannot belong to the commit at seq {row.commit}")
    if not commit:
        raise UsageError("there are no events in it")
    yield commit
