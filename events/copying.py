"""Copy a log that is being written into a single file, put such a copy in the place of a log, or build another of it.

SQLite's own backup makes the copy in one read transaction, so the engine continues to write meanwhile. The copy is one
file without a `-wal`; its head file is created when it is put back.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING

from papertape.events.beside import real_path, sibling_path
from papertape.events.chain import next_row, row_hash, row_head
from papertape.events.codec import CODEC
from papertape.events.durable import make_folder, move_durably, rename_durably, sync
from papertape.events.errors import LogBusy, LogDamaged, LogError, LogNewer
from papertape.events.failpoints import hit
from papertape.events.head_file import HeadFile, LogLock, head_path, read_head
from papertape.events.log import Head
from papertape.events.segments.catalogue import FREE_SPACE, is_mostly_free
from papertape.events.segments.folder import (
    PATTERN,
    SHARED,
    bring_segments,
    check_segments,
    sealed_folder,
    unlisted_segments,
)
from papertape.events.sqlite_file import BUSY_TIMEOUT_S, INSERT, connect_to_read, holds_log, translate_driver_errors
from papertape.events.sqlite_log import SqliteEventLog, SqliteLogReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from papertape.events.chain import Row
    from papertape.events.log import Entry
    from papertape.events.segments.catalogue import Sealed

ASIDE_MAX = 100
RESTORING = ".restoring"
"""The folder beside a log in which its replacement is assembled."""
REPLACED = ".replaced-"
"""The prefix of folders beside a log that hold files set aside."""
BOUND = ("-wal", "-shm", "-journal")
"""Files that are meaningless or wrong beside another log's file."""


def log_bytes(db: Path) -> int | None:
    """Return the size of a log with its -wal and the segments beside it, or None if there is no log.

    No file is opened.
    """
    unsealed = unsealed_bytes(db)
    try:
        sealed = sum(path.stat().st_size for path in sealed_folder(db).glob(PATTERN))
    except OSError:
        return unsealed
    return None if unsealed is None else unsealed + sealed


def unsealed_bytes(db: Path) -> int | None:
    """Return the size of what a log still has in SQLite, with its -wal: what a backup copies. None without a log."""
    try:
        wal = sibling_path(db, "-wal")
        return db.stat().st_size + (wal.stat().st_size if wal.exists() else 0)
    except OSError:
        return None


def copy_log(source: Path, target: Path) -> Head:
    """Copy the current content of the log at `source` into the new file `target`, and return the head of the copy.

    The copy is durable when this returns; an unfinished copy leaves nothing at `target`. Raise LogMissing, LogForeign,
    LogFromNewerVersion, or LogError, also if `target` exists.
    """
    if target.exists():
        raise LogError(f"{target} already exists; a copy never overwrites a file")
    partial = target.with_name(f".{target.name}.{os.getpid()}.half")
    try:
        partial.unlink(missing_ok=True)
        _copy(source, partial)
        with closing(SqliteLogReader(partial)) as reader:
            head = reader.head()
        rename_durably(partial, target)
    except OSError as error:
        raise LogError(f"{target} could not be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
    return head


def _copy(source: Path, target: Path) -> None:
    with (
        closing(connect_to_read(source)) as connection,
        translate_driver_errors(source),
        closing(sqlite3.connect(target, isolation_level=None)) as copy,
    ):
        if is_mostly_free(*connection.execute(FREE_SPACE).fetchone()):
            connection.execute("VACUUM INTO ?", (str(target),))
        else:
            connection.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE").fetchone()


class ExistingLog:
    """The log that a copy is to replace: `head` is where it ends, `known_seq` the highest seq it is known to have had.

    A damaged log is known by its head file alone.
    """

    def __init__(self, db: Path) -> None:
        """Read the end of the log at `db`, which may be missing. Raise LogForeign or LogError."""
        self.head = Head()
        with suppress(LogDamaged):
            if holds_log(db):
                with closing(SqliteLogReader(db)) as reader:
                    self.head = reader.head()
        recorded = read_head(db)
        self.known_seq = max(self.head.seq, 0 if recorded is None else recorded.seq)


def put_back(
    copy: Path,
    db: Path,
    *,
    replace_newer: bool,
    now_ms: int,
    amend: Callable[[Path, Head], Head] = lambda _, head: head,
    segments: Path | None = None,
    are_segments_proven: bool = False,
) -> tuple[Head, Path | None]:
    """Put a copy in the place of the log at `db`; return its head, and the folder that now holds the old files, if any.

    The copy is completed in a folder beside the log, where `amend` may append to it and add files beside it; then it
    replaces the log in one step. If the process is killed, either the old log or the new one remains. Nothing is
    deleted. The sealed segments of the copy are in the folder `segments`, by default where backups have them; they are
    linked or copied beside the log, and compared with the catalogue unless they are proven already.

    Raise LogHeld while an engine runs there; LogNewer if the log there goes further than the copy or has a different
    history, unless `replace_newer`; LogDamaged for a damaged copy; LogBusy while the log is being read; LogError for
    anything else.
    """
    db = real_path(db)
    make_folder(db.parent)
    with LogLock(db):
        source = segments or sealed_folder(copy)
        with closing(SqliteLogReader(copy, sealed=source)) as reader:
            listed = reader.segments()
            _check_copy(reader, [] if are_segments_proven else listed, source)
            head = reader.head()
            if not replace_newer:
                _refuse_newer(ExistingLog(db), reader, head, db)
        staging = sibling_path(db, RESTORING)
        try:
            shutil.rmtree(staging, ignore_errors=True)  # The leftovers of a killed restore.
            staging.mkdir()
            staged = staging / db.name
            copy_log(copy, staged)
            HeadFile(staged, amend(staged, head)).close()
            sync(staging)
            hit("restore_staged")
            aside = _switch(staged, db, now_ms, lambda: bring_segments(listed, source, sealed_folder(db)))
            _remove_unlisted(db, listed)
        except OSError as error:
            raise LogError(f"{copy} could not be put back: {error.strerror}") from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return head, aside


def _check_copy(reader: SqliteLogReader, listed: list[Sealed], folder: Path) -> None:
    """Compare segments with the catalogue, and check every row in SQLite. Raise LogDamaged or LogError."""
    try:
        check_segments(listed, folder)
    except OSError as error:
        raise LogError(f"the segments in {folder} cannot be read: {error.strerror}") from error
    for _ in reader.rehashed_commits(reader.sealed_end().seq):
        pass


def _remove_unlisted(db: Path, listed: list[Sealed]) -> None:
    """Remove the segments of the log that was replaced: its own folder holds them now."""
    folder = sealed_folder(db)
    for path in unlisted_segments(folder, listed):
        path.unlink()
    if not listed:
        with suppress(OSError):  # It is missing, or the owner keeps other files there.
            folder.rmdir()


def _refuse_newer(existing: ExistingLog, copy: SqliteLogReader, head: Head, db: Path) -> None:
    """Raise LogNewer if putting the copy back would lose events."""
    if existing.known_seq > head.seq:
        raise LogNewer(f"the log at {db} goes to seq {existing.known_seq}, but the copy ends at seq {head.seq}")
    if existing.head.seq and copy.hash_at(existing.head.seq) != existing.head.hash:
        raise LogNewer(
            f"the log at {db} has a different history: it and the copy differ at or before seq {existing.head.seq}"
        )


def _switch(staged: Path, db: Path, now_ms: int, bring_new_segments: Callable[[], None]) -> Path | None:
    """Replace the log with the staged one; set the old files aside and return their folder, if any.

    First the old log is completed without its `-wal` and linked into the folder under a second name. A missing head
    file then fits the old log and the new one, and missing cursors are harmless: one rename decides which log it is.
    The segments of both logs lie beside them meanwhile: different segments have different names.
    """
    old_segments = sealed_folder(db)
    old_files = sorted(path for path in companion_files(db) if path != old_segments)
    database_files = [db, *(sibling_path(db, suffix) for suffix in BOUND)]
    head, cursors = head_path(db), [path for path in old_files if path.name.startswith(f"{db.name}.cursors")]
    has_segments = any(unlisted_segments(old_segments, []))
    aside = _new_folder(db, now_ms) if old_files or has_segments else None
    if aside is not None:
        is_whole = empty_wal(db)
        for path in (*database_files, head):
            if path.exists():
                _link_or_copy(path, aside)
        if has_segments:
            make_folder(aside / old_segments.name)
            for path in unlisted_segments(old_segments, []):
                _link_or_copy(path, aside / old_segments.name)
            sync(aside / old_segments.name)
        sync(aside)
        hit("restore_kept")
        for path in (head, *database_files[1:]) if is_whole else database_files[1:]:
            path.unlink(missing_ok=True)
            hit("restore_unlinked")
        move_durably(cursors, aside)
        sync(db.parent)  # Beside the new log none of these names may come back after a power cut.
    bring_new_segments()
    rename_durably(staged, db)
    hit("restore_switched")
    for path in sorted(staged.parent.iterdir()):
        if path.name != f"{db.name}.lock":
            rename_durably(path, db.with_name(path.name))
            hit("restore_laid")
    if aside is not None:
        move_durably([path for path in old_files if path not in (*database_files, head, *cursors)], aside)
    return aside


def empty_wal(db: Path) -> bool:
    """Checkpoint the `-wal` into the log's file; return False if it is too damaged. Raise LogBusy if it is in use."""
    if not db.exists():
        return True
    try:
        with closing(sqlite3.connect(db, timeout=BUSY_TIMEOUT_S, isolation_level=None)) as connection:
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error:
        return False
    if busy:
        raise LogBusy(f"another process is reading the log at {db}; stop it and restore again")
    return True


def _link_or_copy(path: Path, folder: Path) -> None:
    """Hard-link a file into a folder, or copy it if the file system has no hard links. Raise OSError."""
    second = folder / path.name
    try:
        os.link(path, second)
    except OSError:
        shutil.copy2(path, second)
        sync(second)


def set_aside(db: Path, now_ms: int) -> Path | None:
    """Move all files of a log into a folder beside it and return the folder; None if there are none.

    Raise LogHeld while an engine runs there, LogError if the files cannot be moved.
    """
    db = real_path(db)
    with LogLock(db):
        files = sorted(companion_files(db))
        try:
            folder = _new_folder(db, now_ms) if files else None
            if folder is not None:
                move_durably(files, folder)
        except OSError as error:
            raise LogError(f"the remains of {db} could not be moved aside: {error.strerror}") from error
    return folder


def _new_folder(db: Path, now_ms: int) -> Path:
    """Create a folder beside the log for the files set aside. Raise LogError or OSError."""
    stamp = datetime.fromtimestamp(now_ms / 1_000.0, UTC).strftime("%Y%m%dT%H%M%SZ")
    for number in range(ASIDE_MAX):
        folder = db.with_name(f"{db.name}{REPLACED}{stamp}" + (f"-{number}" if number else ""))
        if not folder.exists():
            make_folder(folder)
            return folder
    raise LogError(f"there are already {ASIDE_MAX} folders named {db.name}{REPLACED}{stamp}")


def companion_files(db: Path) -> Iterator[Path]:
    """Yield the log's file and its companions, without its lock, files set aside earlier, and backups."""
    if db.exists():
        yield db
    for path in db.parent.glob(f"{escape(db.name)}[.-]*"):
        rest = path.name.removeprefix(db.name)
        if rest not in (".lock", RESTORING, SHARED) and not rest.startswith(REPLACED) and not rest.endswith(".backup"):
            yield path


# ---------------------------------------------------------------- a log that is built from another one


async def create_log(path: Path) -> None:
    """Create an empty log. Raise LogError."""
    await (await SqliteEventLog.open(path, clock_ms=lambda: 0)).close()


class BulkLog:
    """Writes a log that `create_log` made; nothing is in it before `finish`."""

    def __init__(self, path: Path) -> None:
        """Open the empty log. Raise LogError."""
        self.head, self._path = Head(), path
        with translate_driver_errors(path):
            self._connection = sqlite3.connect(path, isolation_level=None)
            self._connection.execute("BEGIN")

    def copy_row(self, row: Row) -> None:
        """Add a row of another log as it is. Raise LogDamaged if it does not continue this one."""
        if row[0] != self.head.seq + 1 or row_hash(self.head.hash, *row[:4]) != row[4]:
            raise LogDamaged(row[0], "the row does not match its hash")
        self._insert(row)

    def append(self, entries: Sequence[Entry], recorded_at_ms: int) -> None:
        """Add a commit that was recorded at this time. Raise UsageError if the entries cannot form one."""
        self._insert(next_row(self.head, entries, recorded_at_ms, CODEC))

    def finish(self) -> Head:
        """Commit, and make the log durable; return its head."""
        with translate_driver_errors(self._path):
            self._connection.execute("COMMIT")
            self._connection.execute("PRAGMA journal_mode = DELETE")
        self.close()
        sync(self._path)
        HeadFile(self._path, self.head).close()
        return self.head

    def close(self) -> None:
        """Close the file; what was not finished is lost."""
        self._connection.close()

    def _insert(self, row: Row) -> None:
        with translate_driver_errors(self._path, row[0]):
            self._connection.execute(INSERT, row)
        self.head = row_head(row)
