"""Enter segments into the catalogue through the one connection that writes the log, and delete the rows they hold."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from papertape.events.failpoints import hit
from papertape.events.segments.catalogue import DELETE_SEALED, insert_script

if TYPE_CHECKING:
    import aiosqlite

    from papertape.events.segments.segment_file import SegmentInfo


class WholeScripts(sqlite3.Connection):
    """A connection on which a script succeeds as a whole or leaves no trace: no later commit can become part of it."""

    def executescript(self, sql_script: str, /) -> Any:
        """Run the script; roll it back before the error is raised. If even that fails, nothing more is written."""
        try:
            return super().executescript(sql_script)
        finally:
            if self.in_transaction:
                try:
                    self.rollback()
                finally:
                    if self.in_transaction:
                        self.close()


async def add_segment(connection: aiosqlite.Connection, info: SegmentInfo) -> None:
    """Enter a segment whose file is durable. Raise sqlite3.Error if it does not continue the catalogue."""
    hit("seal_written")
    await connection.executescript(insert_script(info))
    hit("seal_catalogued")


async def delete_sealed_rows(connection: aiosqlite.Connection, rows_max: int) -> int:
    """Delete the oldest rows that a segment holds, `rows_max` at most, and return how many. Raise sqlite3.Error."""
    async with connection.execute(DELETE_SEALED, (rows_max,)) as cursor:
        deleted = cursor.rowcount
    hit("seal_deleted")
    return deleted


async def give_back_pages(connection: aiosqlite.Connection) -> None:
    """Make the file as small as its rows, in one step that blocks all writing. A full disk leaves it as it is."""
    with suppress(sqlite3.OperationalError):
        await connection.execute("VACUUM")
