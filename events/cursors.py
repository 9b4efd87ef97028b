"""Cursors: how far each follower of the log has processed it, by name. They only move forward."""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from papertape.events.errors import LogError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

CURSORS_MAX = 1_000
_APPLICATION_ID = 0x50544355

_SETUP = f"""
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA application_id = {_APPLICATION_ID};
CREATE TABLE IF NOT EXISTS cursors (name TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;
"""
_MOVE = "INSERT INTO cursors VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET seq = excluded.seq"


class Cursors(Protocol):
    """Stores where each follower continues."""

    def position(self, name: str) -> int:
        """Return the seq up to which the follower `name` is done; 0 if it never advanced."""

    def advance(self, name: str, seq: int) -> None:
        """Record durably that `name` is done up to `seq`. Raise UsageError for a step back."""

    def close(self) -> None:
        """Close the store. Closing twice is harmless."""


class MemoryCursors:
    """Cursors that live as long as the process."""

    def __init__(self) -> None:
        self._seqs: dict[str, int] = {}

    def position(self, name: str) -> int:
        """See `Cursors.position`."""
        return self._seqs.get(name, 0)

    def advance(self, name: str, seq: int) -> None:
        """See `Cursors.advance`; raise UsageError also for more than CURSORS_MAX names."""
        _admit(self._seqs, name, seq)
        self._seqs[name] = seq

    def close(self) -> None:
        """Do nothing: there is nothing to close."""


class SqliteCursors:
    """Cursors in a small SQLite file of their own, beside the log. One process moves them; each move is one fsync."""

    def __init__(self, path: str | Path) -> None:
        """Open or create the file. Raise LogError if it is not a cursor file."""
        self._path = Path(path).resolve()
        try:
            with ExitStack() as undo:
                connecting = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
                self._connection = undo.enter_context(closing(connecting))
                self._refuse_foreign()
                self._connection.executescript(_SETUP)
                self._seqs: dict[str, int] = dict(self._connection.execute("SELECT name, seq FROM cursors"))
                undo.pop_all()
        except sqlite3.Error as error:
            raise LogError(f"{self._path} cannot be opened as cursors: {error}") from error

    def position(self, name: str) -> int:
        """See `Cursors.position`."""
        return self._seqs.get(name, 0)

    def advance(self, name: str, seq: int) -> None:
        """See `Cursors.advance`; raise UsageError also for more than CURSORS_MAX names, LogError if the write fails."""
        _admit(self._seqs, name, seq)
        if seq == self.position(name):
            return
        try:
            self._connection.execute(_MOVE, (name, seq))
        except sqlite3.Error as error:
            raise LogError(f"{self._path}: cursor {name} could not move to seq {seq}: {error}") from error
        self._seqs[name] = seq

    def change_names(self, name_of: Callable[[str], str | None]) -> None:
        """Rename every cursor to what `name_of` returns, or delete it for None; of two with one name keep the furthest.

        The former names leave the file itself. Raise LogError if the write fails.
        """
        renamed: dict[str, int] = {}
        for former, seq in self._seqs.items():
            if (name := name_of(former)) is not None:
                renamed[name] = max(seq, renamed.get(name, 0))
        if renamed == self._seqs:
            return
        try:
            self._connection.execute("PRAGMA secure_delete = ON")
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.execute("DELETE FROM cursors")
                self._connection.executemany(_MOVE, renamed.items())
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise LogError(f"{self._path}: cursors could not be renamed: {error}") from error
        self._seqs = renamed

    def close(self) -> None:
        """Close the file. Closing twice is harmless."""
        self._connection.close()

    def _refuse_foreign(self) -> None:
        (application_id,) = self._connection.execute("PRAGMA application_id").fetchone()
        (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and application_id != _APPLICATION_ID:
            raise LogError(f"{self._path} is another program's SQLite file, not cursors")


def stored_positions(path: str | Path) -> dict[str, int]:
    """Return all cursors of a file that may be in use; empty if it is missing or its writer was cut off creating it.

    Raise LogError if it is another file.
    """
    if not Path(path).exists():
        return {}
    try:
        with closing(sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True)) as connection:
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            return dict(connection.execute("SELECT name, seq FROM cursors")) if tables else {}
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_READONLY_ROLLBACK:
            return {}  # Only the creation of the file uses a rollback journal; the next writer rolls it back.
        raise LogError(f"{path} cannot be read as cursors: {error}") from error


def _admit(seqs: dict[str, int], name: str, seq: int) -> None:
    if seq < seqs.get(name, 0):
        raise UsageError(f"cursor {name} is at seq {seqs[name]} and cannot go back to seq {seq}")
    if name not in seqs and len(seqs) >= CURSORS_MAX:
        raise UsageError(f"there are already {CURSORS_MAX} cursors; {name} is one too many")
