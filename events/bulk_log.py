"""Write a new log in one transaction, for a program that builds a whole log before anybody reads it."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from papertape.events.chain import next_row, row_hash, row_head
from papertape.events.codec import CODEC
from papertape.events.durable import sync
from papertape.events.errors import LogDamaged
from papertape.events.head_file import HeadFile
from papertape.events.log import Head
from papertape.events.sqlite_file import INSERT, translate_driver_errors
from papertape.events.sqlite_log import SqliteEventLog

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from papertape.events.chain import Row
    from papertape.events.log import Entry


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
