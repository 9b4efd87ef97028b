"""Move old sealed segments to another disk, where the log still reads them while it is mounted."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from papertape.events.beside import real_path
from papertape.events.durable import make_folder, sync
from papertape.events.errors import LogError, UsageError
from papertape.events.failpoints import hit
from papertape.events.head_file import LogLock
from papertape.events.segments.catalogue import MARK_ARCHIVED, Sealed
from papertape.events.segments.folder import PATTERN, copy_segment, find_segment, sealed_folder
from papertape.events.segments.segment_file import SegmentInfo, segment_path
from papertape.events.sqlite_file import BUSY_TIMEOUT_S, roll_back_unfinished, translate_driver_errors
from papertape.events.sqlite_log import SqliteLogReader

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def archive(
    db: Path, before_ms: int, folder: Path, on_segment: Callable[[int], None] = lambda _: None
) -> list[SegmentInfo]:
    """Move the segments of which every event was recorded before `before_ms` into a folder, and return them.

    A segment is copied and compared before the catalogue names its new place, and only then removed here: a kill leaves
    every event readable. `on_segment` gets the last seq of each. Raise LogHeld, UsageError for a folder with other
    files, LogDamaged or LogError.
    """
    db, folder = real_path(db), folder.absolute()
    with LogLock(db):
        roll_back_unfinished(db)
        with closing(SqliteLogReader(db)) as reader:
            old = _ended_before(reader, before_ms)
        moving = [sealed for sealed in old if sealed.archived is None]
        try:
            _check_folder(folder, sealed_folder(db))
            for sealed in moving:
                _move(db, sealed, folder)
                on_segment(sealed.info.last_seq)
            for sealed in old:  # A kill may have left a file that is archived already.
                if sealed.archived == folder and segment_path(folder, sealed.info).is_file():
                    segment_path(sealed_folder(db), sealed.info).unlink(missing_ok=True)
        except OSError as error:
            raise LogError(f"{db} could not be archived to {folder}: {error.strerror}") from error
    return [sealed.info for sealed in moving]


def _ended_before(reader: SqliteLogReader, before_ms: int) -> list[Sealed]:
    """Return the oldest segments, up to the first one with an event that is not old enough."""
    old: list[Sealed] = []
    for sealed in reader.segments():
        if sealed.archived is None:
            last = next(iter(reader.open_segment(sealed).commits(sealed.info.last_seq - 1)))
            if last.recorded_at_ms >= before_ms:
                break
        old.append(sealed)
    return old


def _check_folder(folder: Path, own: Path) -> None:
    """Create the folder if it is missing. Raise UsageError for one that holds anything but segments, OSError."""
    if folder == own:
        raise UsageError(f"{folder} holds the segments of the log itself; name a folder on another disk")
    make_folder(folder)
    others = sorted({path.name for path in folder.iterdir()} - {path.name for path in folder.glob(PATTERN)})
    others = [name for name in others if not name.startswith(".")]
    if others:
        raise UsageError(f"{folder} is not empty: it holds {others[0]}; name one that holds only segments")


def _move(db: Path, sealed: Sealed, folder: Path) -> None:
    """Move one segment. Raise LogDamaged, LogError or OSError."""
    source = find_segment(sealed, sealed_folder(db))
    copy_segment(source, folder, sealed.info)
    hit("archive_copied")
    with (
        translate_driver_errors(db),
        closing(sqlite3.connect(db, timeout=BUSY_TIMEOUT_S, isolation_level=None)) as connection,
    ):
        connection.execute("PRAGMA synchronous = FULL").fetchone()
        connection.execute(MARK_ARCHIVED, (str(folder), sealed.info.first_seq))
    hit("archive_entered")
    source.unlink()
    sync(source.parent)
    hit("archive_removed")
