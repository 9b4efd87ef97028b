"""Make one file of a sealed log again, in the form that versions before the first seal read."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from papertape.events.beside import real_path, sibling_path
from papertape.events.chain import next_end
from papertape.events.copying import empty_wal
from papertape.events.durable import rename_durably, sync
from papertape.events.errors import LogBusy, LogDamaged, LogError
from papertape.events.failpoints import hit
from papertape.events.head_file import LogLock
from papertape.events.log import Head
from papertape.events.segments.folder import sealed_folder
from papertape.events.segments.sealing import remove_leftovers
from papertape.events.sqlite_file import INSERT, SCHEMA, roll_back_unfinished, translate_driver_errors
from papertape.events.sqlite_log import SqliteLogReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from papertape.events.chain import Row

UNSEALING = ".unsealing"
"""The suffix of the file in which the log is put together."""


def unseal(db: Path, on_row: Callable[[int], None] = lambda _: None) -> int:
    """Bring all sealed events back into SQLite, byte for byte, and return how many; 0 for a log without segments.

    The new file is complete before it replaces the old one, so a kill leaves one of the two. `on_row` gets the seq of
    each row. Archived segments are read and stay where they are. Raise LogHeld, LogBusy while the log is being read,
    LogArchived, LogDamaged or LogError.
    """
    db = real_path(db)
    with LogLock(db):
        roll_back_unfinished(db)
        with closing(SqliteLogReader(db)) as reader:
            reader.verify_tail()
            listed = reader.segments()
            if listed:
                _write(sibling_path(db, UNSEALING), reader, on_row)
        try:
            if listed:
                _replace(sibling_path(db, UNSEALING), db)
            with closing(SqliteLogReader(db)) as reader:
                remove_leftovers(db, reader)
            with suppress(OSError):  # It is missing, or the owner keeps other files there.
                sealed_folder(db).rmdir()
        except OSError as error:
            raise LogError(f"{db} could not be unsealed: {error.strerror}") from error
    return listed[-1].info.last_seq if listed else 0


def _write(file: Path, reader: SqliteLogReader, on_row: Callable[[int], None]) -> None:
    """Write every row into a new file. Raise LogDamaged for a damaged row, LogError if it cannot be written."""

    def rows() -> Iterator[Row]:
        end = Head()
        for row in reader.rows_after(0):
            end = next_end(end, row)
            yield row
            on_row(end.seq)

    _remove(file)
    try:
        with translate_driver_errors(file), closing(sqlite3.connect(file, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = OFF").fetchone()  # The whole file is synced before it is used.
            connection.executescript(SCHEMA)
            connection.execute("BEGIN")
            connection.executemany(INSERT, rows())
            connection.execute("COMMIT")
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
    except LogError:
        _remove(file)
        raise
    hit("unseal_written")


def _replace(file: Path, db: Path) -> None:
    """Put the new file in the place of the old one. Raise LogBusy, LogDamaged or OSError."""
    sync(file)
    try:
        if not empty_wal(db):
            raise LogDamaged(0, f"the -wal of {db} cannot be merged")
    except LogBusy:
        _remove(file)
        raise LogBusy(f"another process is reading the log at {db}; stop it and unseal again") from None
    for suffix in ("-wal", "-shm"):
        sibling_path(db, suffix).unlink(missing_ok=True)
    hit("unseal_emptied")
    rename_durably(file, db)
    hit("unseal_switched")


def _remove(file: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        file.with_name(f"{file.name}{suffix}").unlink(missing_ok=True)
