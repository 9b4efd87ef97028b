"""A log as one file that can be carried away and brought back: copies of a living log, and a copy in a log's place.

A copy is made by SQLite's own backup, in one read transaction: the engine goes on writing meanwhile. It ends in one
file without a `-wal`, whose head file is made where it is put back.
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
from papertape.events.durable import make_folder, move_durably, rename_durably, sync
from papertape.events.errors import LogBusy, LogDamaged, LogError, LogNewer
from papertape.events.failpoints import hit
from papertape.events.head_file import HeadFile, LogLock, head_path, read_head
from papertape.events.log import Head
from papertape.events.sqlite_file import BUSY_TIMEOUT_S, connect_to_read, holds_log, translate_driver_errors
from papertape.events.sqlite_log import SqliteLogReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ASIDE_MAX = 100
RESTORING = ".restoring"
"""The folder beside a log in which its replacement is assembled."""
REPLACED = ".replaced-"
"""The prefix of folders beside a log that hold files set aside."""
BOUND = ("-wal", "-shm", "-journal")
"""Files that are meaningless or wrong beside another log's file."""


def log_bytes(db: Path) -> int | None:
    """Return the size of a log with its -wal, or None if there is no log. No file is opened."""
    try:
        wal = sibling_path(db, "-wal")
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
        rename_durably(half, target)
    except OSError as error:
        raise LogError(f"{target} could not be written: {error.strerror}") from error
    finally:
        half.unlink(missing_ok=True)
    return head


def _copy(source: Path, target: Path) -> None:
    with closing(connect_to_read(source)) as connection, translate_driver_errors(source):
        made = sqlite3.connect(target, isolation_level=None)
        with closing(made):
            connection.backup(made)
            made.execute("PRAGMA journal_mode = DELETE").fetchone()


class Placed:
    """What stands where a copy is to be put: `head` as far as the log there goes, `known_seq` as far as it went."""

    def __init__(self, db: Path) -> None:
        """Raises LogForeign, LogError. A damaged log is known by its head file alone."""
        self.head = Head()
        with suppress(LogDamaged):
            if holds_log(db):
                with closing(SqliteLogReader(db)) as reader:
                    self.head = reader.head()
        kept = read_head(db)
        self.known_seq = max(self.head.seq, 0 if kept is None else kept.seq)


def put_back(
    copy: Path,
    db: Path,
    *,
    replace_newer: bool,
    now_ms: int,
    amend: Callable[[Path, Head], Head] = lambda _, head: head,
) -> tuple[Head, Path | None]:
    """Put a copy in the place of the log at `db`; its head, and the folder to which what was there was moved.

    The copy is made whole in a folder beside the log, where `amend` may add to it and lay files beside it; then it
    replaces the log in one step. Killed at any instant, it leaves the old log or the new one. Nothing is deleted.
    Raises LogHeld while an engine runs there, LogNewer where the log there knows more or something else than the copy,
    unless `replace_newer`; LogDamaged for a copy that does not hold; LogBusy where somebody reads the log; LogError.
    """
    db = real_path(db)
    make_folder(db.parent)
    with LogLock(db):
        with closing(SqliteLogReader(copy)) as reader:
            for _ in reader.commits():
                pass  # Every row is checked against the chain.
            head = reader.head()
            if not replace_newer:
                _refuse_newer(Placed(db), reader, head, db)
        staging = sibling_path(db, RESTORING)
        try:
            shutil.rmtree(staging, ignore_errors=True)  # The leftovers of a killed restore.
            staging.mkdir()
            staged = staging / db.name
            copy_log(copy, staged)
            HeadFile(staged, amend(staged, head)).close()
            sync(staging)
            hit("restore_staged")
            aside = _switch(staged, db, now_ms)
        except OSError as error:
            raise LogError(f"{copy} could not be put back: {error.strerror}") from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return head, aside


def _refuse_newer(there: Placed, copy: SqliteLogReader, head: Head, db: Path) -> None:
    """Raises LogNewer where putting the copy back would forget something."""
    if there.known_seq > head.seq:
        raise LogNewer(f"the log at {db} went to seq {there.known_seq}, the copy ends at {head.seq}")
    if there.head.seq and copy.hash_at(there.head.seq) != there.head.hash:
        raise LogNewer(f"the log at {db} has another past than the copy: they differ at or before {there.head.seq}")


def _switch(staged: Path, db: Path, now_ms: int) -> Path | None:
    """Replace the log with the staged one; set the old files aside and return their folder, if any.

    The old log is whole without its `-wal` first, and kept aside under a second name. Then a missing head file fits
    the old log and the new one, and missing cursors promise nothing: one renaming decides which log it is.
    """
    found = sorted(companion_files(db))
    of_file = [db, *(sibling_path(db, suffix) for suffix in BOUND)]
    head, cursors = head_path(db), [path for path in found if path.name.startswith(f"{db.name}.cursors")]
    aside = _new_folder(db, now_ms) if found else None
    if aside is not None:
        is_whole = _empty_wal(db)
        for path in (*of_file, head):
            if path.exists():
                _link_or_copy(path, aside)
        sync(aside)
        hit("restore_kept")
        for path in (head, *of_file[1:]) if is_whole else of_file[1:]:
            path.unlink(missing_ok=True)
            hit("restore_unlinked")
        move_durably(cursors, aside)
    rename_durably(staged, db)
    hit("restore_switched")
    for path in sorted(staged.parent.iterdir()):
        if path.name != f"{db.name}.lock":
            rename_durably(path, db.with_name(path.name))
            hit("restore_laid")
    if aside is not None:
        move_durably([path for path in found if path not in (*of_file, head, *cursors)], aside)
    return aside


def _empty_wal(db: Path) -> bool:
    """Checkpoint the `-wal` into the log's file; return False if the file is too damaged.

    Raise LogBusy if a reader never lets go of the log.
    """
    if not db.exists():
        return True
    try:
        with closing(sqlite3.connect(db, timeout=BUSY_TIMEOUT_S, isolation_level=None)) as connection:
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error:
        return False
    if busy:
        raise LogBusy(f"somebody reads the log at {db}; end that, and restore again")
    return True


def _link_or_copy(path: Path, folder: Path) -> None:
    """Hard-link a file into a folder, or copy it if the file system has no hard links. Raise OSError."""
    kept = folder / path.name
    try:
        os.link(path, kept)
    except OSError:
        shutil.copy2(path, kept)
        sync(kept)


def set_aside(db: Path, now_ms: int) -> Path | None:
    """Move all files of a log into a folder beside it and return the folder; None if there are none.

    Raises LogHeld while an engine runs there, LogError.
    """
    db = real_path(db)
    with LogLock(db):
        found = sorted(companion_files(db))
        try:
            folder = _new_folder(db, now_ms) if found else None
            if folder is not None:
                move_durably(found, folder)
        except OSError as error:
            raise LogError(f"what is left of {db} could not be moved aside: {error.strerror}") from error
    return folder


def _new_folder(db: Path, now_ms: int) -> Path:
    """Create a folder beside the log for the files set aside. Raise LogError or OSError."""
    stamp = datetime.fromtimestamp(now_ms / 1_000.0, UTC).strftime("%Y%m%dT%H%M%SZ")
    for number in range(ASIDE_MAX):
        folder = db.with_name(f"{db.name}{REPLACED}{stamp}" + (f"-{number}" if number else ""))
        if not folder.exists():
            make_folder(folder)
            return folder
    raise LogError(f"there are {ASIDE_MAX} folders {db.name}{REPLACED}{stamp} already")


def companion_files(db: Path) -> Iterator[Path]:
    """Return the log's file and its companions, without its lock, files set aside earlier, and backups."""
    if db.exists():
        yield db
    for path in db.parent.glob(f"{escape(db.name)}[.-]*"):
        rest = path.name.removeprefix(db.name)
        if rest not in (".lock", RESTORING) and not rest.startswith(REPLACED) and not rest.endswith(".backup"):
            yield path
