"""Move old commits into sealed segments: `python -m papertape.events.segments.sealing LOG LAST_SEQ` writes one.

A seal has three steps, and may be interrupted after each. This module writes the segment, in a process of its own
beside a running engine: paced, read-only, and ended with its parent. Whoever holds the log then enters it into the
catalogue, and deletes the rows. A segment that is not in the catalogue means nothing and is removed by the next seal.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from papertape.events.chain import row_head
from papertape.events.durable import make_folder
from papertape.events.errors import LogDamaged, LogError
from papertape.events.failpoints import hit
from papertape.events.head_file import LogLock
from papertape.events.proving import NICENESS, SHARE, DamageReport, Throttle
from papertape.events.segments.folder import sealed_folder, unfinished_files, unlisted_segments
from papertape.events.segments.segment_file import SegmentFile, SegmentInfo, write_segment
from papertape.events.sqlite_file import BUSY_TIMEOUT_S, translate_driver_errors
from papertape.events.sqlite_log import SqliteLogReader
from papertape.events.units import DAY_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from papertape.events.chain import Row

SEGMENT_EVENTS_MAX: Final = 131_072
SEGMENT_EVENTS_MIN: Final = 65_536
"""Fewer events stay in SQLite, so that a small log does not become many small files."""
KEEP_MS: Final = DAY_MS


def next_segment_end(reader: SqliteLogReader, before_ms: int, events_min: int = SEGMENT_EVENTS_MIN) -> int | None:
    """Return the last event of the next segment; None while fewer than `events_min` events are old enough.

    All events of a segment were recorded before `before_ms`, and the newest row is never one of them.
    """
    after, newest = reader.sealed_end().seq, reader.head().seq
    last = _last_seq_before(reader, before_ms, after, newest)
    last = reader.end_at_or_before(min(last, after + SEGMENT_EVENTS_MAX)).seq
    return last if last - after >= max(1, events_min) else None


def whole_days_before(now_ms: int, keep_ms: int = KEEP_MS) -> int:
    """Return the start of the newest day of which everything may be kept: what was recorded before is old."""
    return (now_ms - keep_ms) // DAY_MS * DAY_MS


def _last_seq_before(reader: SqliteLogReader, before_ms: int, after: int, newest: int) -> int:
    """Return the end of the last row after `after` that is older than `before_ms` and not the newest; or `after`."""
    old, young = after, newest
    while old < young:  # All rows up to `old` are old enough, and the one that holds `young` is not.
        row = next(reader.rows_after(reader.end_at_or_before((old + young) // 2).seq), None)
        if row is None or row_head(row).seq >= newest or row[2] >= before_ms:
            young = (old + young) // 2
        else:
            old = row_head(row).seq
    return old


def remove_leftovers(db: Path, reader: SqliteLogReader) -> None:
    """Remove unfinished files, and segments that are not in the catalogue because all their rows are in SQLite.

    A segment of another history is left alone. The caller holds the log. Raise LogError or OSError.
    """
    folder = sealed_folder(db)
    for path in unfinished_files(folder):
        path.unlink(missing_ok=True)
    for path in unlisted_segments(folder, reader.segments()):
        with suppress(LogDamaged):
            file = SegmentFile(path)
            file.close()
            if reader.hash_at(file.info.last_seq) == file.info.hash_after:
                path.unlink()
                hit("seal_leftover_removed")


def write_next_segment(db: Path, last_seq: int, on_row: Callable[[int], None]) -> SegmentInfo:
    """Write the events after the newest segment, up to `last_seq`, into a new one beside the log, and return it.

    `on_row` gets the seq of each row. Raise LogDamaged for a damaged row, LogError or OSError on failure.
    """
    with closing(SqliteLogReader(db)) as reader:
        remove_leftovers(db, reader)
        before = reader.sealed_end()
        make_folder(sealed_folder(db))
        return write_segment(sealed_folder(db), before, _rows_up_to(reader, before.seq, last_seq, on_row))


def _rows_up_to(reader: SqliteLogReader, after: int, last_seq: int, on_row: Callable[[int], None]) -> Iterator[Row]:
    for row in reader.rows_after(after):
        yield row
        end = row_head(row).seq
        on_row(end)
        if end >= last_seq:
            return


def shrink(db: Path) -> None:
    """Make a log's file as small as the rows in it. A full disk leaves it as it is. Raise LogHeld or LogError."""
    with (
        LogLock(db),
        translate_driver_errors(db),
        closing(sqlite3.connect(db, timeout=BUSY_TIMEOUT_S, isolation_level=None)) as connection,
        suppress(sqlite3.OperationalError),
    ):
        connection.execute("PRAGMA synchronous = FULL").fetchone()
        connection.execute("VACUUM")


def main(db: Path, last_seq: int) -> int:
    """Write one segment, print what it is, and return the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the engine, which ends this process.
    os.nice(NICENESS)
    parent = os.getppid()
    pace = Throttle(SHARE, lambda: os.getppid() == parent)
    try:
        info = write_next_segment(db, last_seq, lambda _: pace.step())
    except LogDamaged as damage:
        sys.stdout.buffer.write(msgspec.json.encode(DamageReport(damage.seq, damage.reason)))
        return damage.exit_code
    except (LogError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.buffer.write(msgspec.json.encode(info))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
