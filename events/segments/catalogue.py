"""The catalogue: the table `segments` of a log, which lists the commits that were moved into sealed segments.

The table appears with the first seal, and with it schema 2. Its triggers allow only what keeps the log whole: a segment
continues where the last one ended, ends where a row in SQLite ends, and never holds the newest row; and only rows that
a segment holds may be deleted from SQLite.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from papertape.events.errors import LogDamaged
from papertape.events.segments.segment_file import SegmentInfo

if TYPE_CHECKING:
    import sqlite3

    from papertape.events.log import Head

SEALED_SCHEMA_VERSION = 2

_COLUMNS = "first_seq, last_seq, rows, hash_before, hash_after, digest, size_bytes, archived"
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS segments (
    first_seq INTEGER PRIMARY KEY,
    last_seq INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    hash_before BLOB NOT NULL,
    hash_after BLOB NOT NULL,
    digest BLOB NOT NULL,
    size_bytes INTEGER NOT NULL,
    archived TEXT
) STRICT;
CREATE TRIGGER IF NOT EXISTS segments_insert BEFORE INSERT ON segments
    WHEN NEW.first_seq IS NOT coalesce((SELECT last_seq + 1 FROM segments ORDER BY first_seq DESC LIMIT 1), 1)
    OR NEW.hash_before IS NOT coalesce((SELECT hash_after FROM segments ORDER BY first_seq DESC LIMIT 1), zeroblob(32))
    OR NOT EXISTS (
        SELECT 1 FROM (SELECT seq, count, hash FROM commits WHERE seq <= NEW.last_seq ORDER BY seq DESC LIMIT 1)
        WHERE seq + count - 1 = NEW.last_seq AND hash = NEW.hash_after
    )
    OR NOT EXISTS (SELECT 1 FROM commits WHERE seq > NEW.last_seq)
    BEGIN SELECT RAISE(ABORT, 'a segment holds the oldest rows in SQLite, and never the newest one'); END;
CREATE TRIGGER IF NOT EXISTS segments_update BEFORE UPDATE OF
    first_seq, last_seq, rows, hash_before, hash_after, digest, size_bytes ON segments
    BEGIN SELECT RAISE(ABORT, 'the catalogue is append-only: a segment is never changed'); END;
CREATE TRIGGER IF NOT EXISTS segments_delete BEFORE DELETE ON segments
    BEGIN SELECT RAISE(ABORT, 'the catalogue is append-only: a segment is never forgotten'); END;
DROP TRIGGER IF EXISTS commits_delete;
CREATE TRIGGER commits_delete BEFORE DELETE ON commits
    WHEN OLD.seq + OLD.count - 1 > coalesce((SELECT last_seq FROM segments ORDER BY first_seq DESC LIMIT 1), 0)
    OR NOT EXISTS (SELECT 1 FROM commits WHERE seq > OLD.seq)
    BEGIN SELECT RAISE(ABORT, 'the log is append-only: only a row that a segment holds is deleted'); END;
PRAGMA user_version = {SEALED_SCHEMA_VERSION};
"""  # noqa: S608 - only the number above is formatted in.

DELETE_SEALED = """
DELETE FROM commits WHERE seq IN (
    SELECT seq FROM commits
    WHERE seq <= coalesce((SELECT last_seq FROM segments ORDER BY first_seq DESC LIMIT 1), 0)
    ORDER BY seq LIMIT ?
)
"""
FREE_SPACE = "SELECT * FROM pragma_page_size, pragma_page_count, pragma_freelist_count"
FREE_BYTES_MIN = 64 << 20
"""Less is soon used by new rows."""
MARK_ARCHIVED = "UPDATE segments SET archived = ? WHERE first_seq = ?"


class Sealed(Struct, frozen=True):
    """A segment in the catalogue; `archived` is the folder to which it was moved, None while it is beside the log."""

    info: SegmentInfo
    archived: Path | None = None


def insert_script(info: SegmentInfo) -> str:
    """Return the transaction that enters a segment; the first one also changes the schema."""
    blobs = (f"x'{blob.hex()}'" for blob in (info.hash_before, info.hash_after, info.digest))
    values = f"{info.first_seq}, {info.last_seq}, {info.rows}, {', '.join(blobs)}, {info.size_bytes}, NULL"
    return f"BEGIN IMMEDIATE;{_SCHEMA}INSERT INTO segments ({_COLUMNS}) VALUES ({values});COMMIT;"  # noqa: S608 - numbers and hexadecimal digits.


def is_mostly_free(page_bytes: int, pages: int, free_pages: int, free_bytes_min: int = 0) -> bool:
    """Return whether a file, of which `FREE_SPACE` are the numbers, is much longer than its rows: they were sealed."""
    return free_pages * page_bytes >= free_bytes_min and 2 * free_pages > pages


def is_sealed(connection: sqlite3.Connection) -> bool:
    """Return whether the log has a catalogue. Raise sqlite3.Error."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version) >= SEALED_SCHEMA_VERSION


def segments(connection: sqlite3.Connection) -> list[Sealed]:
    """Return the whole catalogue, oldest segment first. Raise LogDamaged or sqlite3.Error."""
    if not is_sealed(connection):
        return []
    return [_sealed(row) for row in connection.execute(f"SELECT {_COLUMNS} FROM segments ORDER BY first_seq")]  # noqa: S608


def segment_at_or_before(connection: sqlite3.Connection, seq: int) -> Sealed | None:
    """Return the last segment that begins at or before `seq`, if any. Raise LogDamaged or sqlite3.Error."""
    if not is_sealed(connection):
        return None
    query = f"SELECT {_COLUMNS} FROM segments WHERE first_seq <= ? ORDER BY first_seq DESC LIMIT 1"  # noqa: S608
    row = connection.execute(query, (seq,)).fetchone()
    return None if row is None else _sealed(row)


def _sealed(row: tuple[object, ...]) -> Sealed:
    *fields, archived = row
    try:
        info = msgspec.convert(dict(zip(SegmentInfo.__struct_fields__, fields, strict=True)), SegmentInfo)
        folder = archived.decode() if isinstance(archived, bytes) else archived
        return Sealed(info, None if folder is None else Path(str(folder)))
    except (msgspec.ValidationError, UnicodeDecodeError) as error:
        raise LogDamaged(row[0] if isinstance(row[0], int) else 0, f"the catalogue is torn: {error}") from error


def check_link(info: SegmentInfo, end: Head) -> None:
    """Raise LogDamaged if a segment that is read from its beginning does not continue the log."""
    if end.seq + 1 < info.first_seq:
        raise LogDamaged(end.seq + 1, f"the row is missing; the next one begins at seq {info.first_seq}")
    if end.seq + 1 == info.first_seq and end.hash != info.hash_before:
        raise LogDamaged(info.first_seq, "the sealed segment does not continue the log")
