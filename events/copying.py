"""A log as one file that can be carried away and brought back: copies of a living log, and a copy in a log's place.

A copy is made by SQLite's own backup, in one read transaction: the engine goes on writing meanwhile. It ends in one
file without a `-wal`, whose head file is made where it is put back.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING

from events.errors import LogError, LogNewer
from events.head_file import HeadFile, LogLock, read_head
from events.log import Head
from events.sqlite_file import connect_to_read, driver_errors_named, holds_log
from events.sqlite_log import SqliteLogReader

if TYPE_CHECKING:
    from collections.abc import Iterator

ASIDE_MAX = 100


def log_bytes(db: Path) -> int | None:
    """How much room a log takes: its file and what is not in it yet; None where there is none. Nothing is opened."""
    try:
        wal = db.with_name(f"{db.name}-wal")
        return db.stat().st_size + (wal.stat().st_size if wal.exists() else 0)
    except OSError:
        return None


def copy_log(source: Path, target: Path) -> Head:
    """Copy the log at `source`, as it stands now, into the new file `target`; the head of the copy.

    Durable when this returns; a copy that was begun and not ended leaves nothing under the name of `target`.
    Raises LogMissing, LogForeign, LogFromNewerVersion, LogError (also where `target` is there already).
    """
    if target.exists():
        raise LogError(f"{target} is there already; a copy never overwrites")
    half = target.with_name(f".{target.name}.{os.getpid()}.half")
    try:
        half.unlink(missing_ok=True)
        _copy(source, half)
        with closing(SqliteLogReader(half)) as reader:
            head = reader.head()
        _make_durable(half)
        half.rename(target)
        _make_durable(target.parent)
    except OSError as error:
        raise LogError(f"{target} could not be written: {error.strerror}") from error
    finally:
        half.unlink(missing_ok=True)
    return head


def _copy(source: Path, target: Path) -> None:
    with closing(connect_to_read(source)) as connection, driver_errors_named(source):
        made = sqlite3.connect(target, isolation_level=None)
        with closing(made):
            connection.backup(made)
            made.execute("PRAGMA journal_mode = DELETE").fetchone()


def _make_durable(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Placed:
    """What stands where a copy is to be put: `head` as far as the log there goes, `known_seq` as far as it went."""

    def __init__(self, db: Path) -> None:
        """Raises LogForeign, LogDamaged, LogError."""
        self.head = Head()
        if holds_log(db):
            with closing(SqliteLogReader(db)) as reader:
                self.head = reader.head()
        kept = read_head(db)
        self.known_seq = max(self.head.seq, 0 if kept is None else kept.seq)


def put_back(copy: Path, db: Path, *, replace_newer: bool, now_ms: int) -> tuple[Head, Path | None]:
    """Put a copy in the place of the log at `db`; its head, and the folder to which what was there was moved.

    Nothing is deleted. Raises LogHeld while an engine runs there, LogNewer where the log there knows more or something
    else than the copy, unless `replace_newer`; LogDamaged for a copy that does not hold; LogError.
    """
    db.parent.mkdir(parents=True, exist_ok=True)
    with LogLock(db):
        with closing(SqliteLogReader(copy)) as reader:
            for _ in reader.commits():
                pass  # Every row is checked against the chain.
            head = reader.head()
            if not replace_newer:
                _refuse_newer(Placed(db), reader, head, db)
        aside = _move_aside(db, now_ms)
        copy_log(copy, db)
        HeadFile(db, head).close()
    return head, aside


def _refuse_newer(there: Placed, copy: SqliteLogReader, head: Head, db: Path) -> None:
    """Raises LogNewer where putting the copy back would forget something."""
    if there.known_seq > head.seq:
        raise LogNewer(f"the log at {db} went to seq {there.known_seq}, the copy ends at {head.seq}")
    if there.head.seq and copy.hash_at(there.head.seq) != there.head.hash:
        raise LogNewer(f"the log at {db} has another past than the copy: they differ at or before {there.head.seq}")


def _move_aside(db: Path, now_ms: int) -> Path | None:
    """Everything that belongs to the log that was there, into a folder beside it; None where there was nothing."""
    found = sorted(_belongings(db))
    if not found:
        return None
    stamp = datetime.fromtimestamp(now_ms / 1_000.0, UTC).strftime("%Y%m%dT%H%M%SZ")
    for number in range(ASIDE_MAX):
        folder = db.with_name(f"{db.name}.replaced-{stamp}" + (f"-{number}" if number else ""))
        if not folder.exists():
            folder.mkdir()
            for path in found:
                path.rename(folder / path.name)
            return folder
    raise LogError(f"there are {ASIDE_MAX} folders {db.name}.replaced-{stamp} already")


def _belongings(db: Path) -> Iterator[Path]:
    """The log's file and what lies beside it under its name, but for its lock, which is held, and earlier ones."""
    if db.exists():
        yield db
    for path in db.parent.glob(f"{escape(db.name)}[.-]*"):
        if path.name != f"{db.name}.lock" and not path.name.startswith(f"{db.name}.replaced-"):
            yield path
