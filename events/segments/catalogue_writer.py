"""Enter segments into the catalogue through the one connection that writes the log, and delete the rows they hold."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from papertape.events.errors import LogError
from papertape.events.failpoints import hit
from papertape.events.segments.catalogue import (
    DELETE_SEALED,
    FREE_BYTES_MIN,
    FREE_SPACE,
    SEALED_SCHEMA_VERSION,
    insert_script,
    is_mostly_free,
)

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
    """Enter a segment whose file is durable. Raise LogError if it does not continue the catalogue, or sqlite3.Error."""
    hit("seal_written")
    try:
        await connection.executescript(insert_script(info))
    except sqlite3.IntegrityError as error:
        raise LogError(f"the events {info.first_seq} to {info.last_seq} cannot be sealed: {error}") from error
    hit("seal_catalogued")


async def delete_sealed_rows(connection: aiosqlite.Connection, rows_max: int) -> int:
    """Delete the oldest rows that a segment holds, `rows_max` at most, and return how many. Raise sqlite3.Error."""
    [(version,)] = await connection.execute_fetchall("PRAGMA user_version")
    if version < SEALED_SCHEMA_VERSION:
        return 0
    async with connection.execute(DELETE_SEALED, (rows_max,)) as cursor:
        deleted = cursor.rowcount
    hit("seal_deleted")
    return deleted


async def give_back_pages(connection: aiosqlite.Connection) -> None:
    """Make the file as small as its rows if most of it is free; nothing else can be written meanwhile.

    That takes as long as copying the rows. A full disk leaves the file as it is. Raise sqlite3.Error.
    """
    [(page_bytes, pages, free_pages)] = await connection.execute_fetchall(FREE_SPACE)
    if is_mostly_free(page_bytes, pages, free_pages, FREE_BYTES_MIN):
        with suppress(sqlite3.OperationalError):
            await connection.execute("VACUUM")
