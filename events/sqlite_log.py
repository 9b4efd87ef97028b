"""The log in SQLite: one row a commit, one INSERT a row, one fsync an INSERT.

One connection writes, through aiosqlite, in autocommit: an append is one statement and one hop to the thread
that waits for the disk. Readers are plain read-only connections that hold no cursor between two pages.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, closing, suppress
from itertools import dropwhile
from pathlib import Path

import aiosqlite

from papertape.events.chain import Row, events_after, next_row, row_head, verify_rows
from papertape.events.codec import CODEC, Codec
from papertape.events.errors import LogBusy, LogDamaged, LogWriteFailed, SequenceConflict, UsageError
from papertape.events.failpoints import hit
from papertape.events.head_file import HeadFile, LogLock, head_path, read_head
from papertape.events.log import READ_EVENTS_MAX, Commit, Entry, Head, Recorded
from papertape.events.place import Place
from papertape.events.proof import check_known_damage
from papertape.events.sqlite_file import (
    BUSY_TIMEOUT_S,
    INSERT,
    PAGES_MAX,
    WAL_FRAME_BYTES,
    WAL_LONG_BYTES,
    connect_to_read,
    holds_log,
    prepare,
    translate_driver_errors,
    undo_half_done,
    wal_bytes,
)

PAGE_ROWS_MAX = 256
PAGE_EVENTS_MAX = 16_384
_SEQ_MAX = 2**63 - 1

_ROW = "SELECT seq, count, recorded_at_ms, events, hash FROM commits"
_NEWEST_ROWS = f"{_ROW} ORDER BY seq DESC LIMIT 2"
_NEXT_ROWS = f"{_ROW} WHERE seq > ? ORDER BY seq LIMIT {PAGE_ROWS_MAX}"
_ENDS_BEFORE = "SELECT seq + count - 1, hash FROM commits WHERE seq <= ? ORDER BY seq DESC LIMIT 2"


class SqliteLogReader:
    """Reads a log read-only, beside a living writer or after a killed one. It never checkpoints.

    It may be handed from thread to thread, but serves one caller at a time.
    """

    def __init__(self, path: str | Path, codec: Codec = CODEC) -> None:
        """Open the log at `path`. Raises LogMissing, LogForeign, LogFromNewerVersion, LogError."""
        self._path = Path(path).resolve()
        self._codec = codec
        self._connection = connect_to_read(self._path)

    def head(self) -> Head:
        """The newest seq and hash that is committed."""
        return self._end_at_or_before(_SEQ_MAX)

    def hash_at(self, seq: int) -> bytes | None:
        """The hash of the row whose last event is `seq`; None when no row ends there."""
        end = self._end_at_or_before(seq)
        return end.hash if end.seq == seq else None

    def commits(self, after_seq: int = 0) -> Iterator[Commit]:
        """See `events.log.LogReader.commits`. Rows that are committed while this is being read belong to it."""
        predecessor = self._end_at_or_before(after_seq)
        found = verify_rows(self._rows_behind(predecessor.seq), predecessor, self._codec)
        return dropwhile(lambda commit: commit.last_seq <= after_seq, found)

    def read(self, after_seq: int, limit: int = READ_EVENTS_MAX) -> list[Recorded]:
        """See `events.log.LogReader.read`."""
        return events_after(self.commits(after_seq), after_seq, limit)

    def old_tags(self) -> dict[str, int]:
        """How many events of each old shape the log holds; they are read as newer ones."""
        found: dict[str, int] = {}
        for _, _, _, blob, _ in self._rows_behind(0):
            for tag in self._codec.old_tags(blob):
                found[tag] = found.get(tag, 0) + 1
        return found

    def verify_tail(self) -> None:
        """Check the newest row against its predecessor and the log against its head file, whatever its length.

        Raises LogDamaged for a row that does not hold and for a tail that was cut off or replaced.
        """
        kept = read_head(self._path)  # Read before the log: a living writer moves the log first.
        newest = self._newest_rows()
        for last in newest[:1]:
            predecessor = row_head(newest[1]) if len(newest) > 1 else Head()
            list(verify_rows([last], predecessor, self._codec))
        if kept is not None and kept.seq and self.hash_at(kept.seq) != kept.hash:
            raise LogDamaged(kept.seq, _cut(head_path(self._path)))

    def close(self) -> None:
        """Let go of the file. Closing twice is harmless."""
        self._connection.close()

    def _rows_behind(self, seq: int) -> Iterator[Row]:
        while page := self._page(seq):
            yield from page
            seq = page[-1][0]

    def _page(self, seq: int) -> list[Row]:
        rows: list[Row] = []
        events = 0
        with (
            translate_driver_errors(self._path, seq + 1),
            closing(self._connection.execute(_NEXT_ROWS, (seq,))) as cursor,
        ):
            for row in cursor:
                rows.append(row)
                events += row[1]
                if events >= PAGE_EVENTS_MAX:
                    break
        return rows

    def _end_at_or_before(self, seq: int) -> Head:
        with translate_driver_errors(self._path, seq):
            for end, row_hash in self._connection.execute(_ENDS_BEFORE, (seq,)).fetchall():
                if end <= seq:
                    return Head(end, row_hash)
        return Head()

    def _newest_rows(self) -> list[Row]:
        with translate_driver_errors(self._path):
            return self._connection.execute(_NEWEST_ROWS).fetchall()


class SqliteEventLog:
    """The one writer of a log. Make it with `open`; close it, or its thread keeps the process alive.

    `warnings` holds what was wrong at opening without being damage, for the engine to pass on.
    """

    def __init__(
        self,
        path: Path,
        connection: aiosqlite.Connection,
        head_file: HeadFile,
        stack: AsyncExitStack,
        *,
        head: Head,
        clock_ms: Callable[[], int],
        codec: Codec,
        warnings: list[str],
        place: Place,
    ) -> None:
        """For `open` alone."""
        self.path = path
        self._place = place
        self.warnings = warnings
        self._connection = connection
        self._head_file = head_file
        self._stack = stack
        self._head = head
        self._clock_ms = clock_ms
        self._codec = codec
        self._tail = head
        self._refusal = ""
        self._closed = False

    @classmethod
    async def open(
        cls, path: str | Path, *, clock_ms: Callable[[], int], codec: Codec = CODEC, pages_max: int = PAGES_MAX
    ) -> SqliteEventLog:
        """Take the log at `path`, creating it when nothing is there; costs the same however long the log is.

        `clock_ms` gives recorded_at_ms; the file may grow to `pages_max` pages of 4 KiB. Raises LogHeld,
        LogForeign, LogDamaged (also for a cut tail), LogFromNewerVersion, LogError.
        """
        given, file = _located(path)
        async with AsyncExitStack() as stack:
            stack.enter_context(LogLock(file))
            undo_half_done(file)
            head, warnings = _checked_head(file, codec)
            with translate_driver_errors(file):
                connecting = aiosqlite.connect(file, timeout=BUSY_TIMEOUT_S, isolation_level=None)
                connection = await stack.enter_async_context(connecting)
            await prepare(file, connection, pages_max)
            head_file = HeadFile(file, head)
            stack.callback(head_file.close)
            place = Place(given, file)
            kept = stack.pop_all()
        return cls(
            file,
            connection,
            head_file,
            kept,
            head=head,
            clock_ms=clock_ms,
            codec=codec,
            warnings=warnings,
            place=place,
        )

    @property
    def head(self) -> Head:
        """The newest seq and hash that is committed."""
        return self._head

    async def append(self, expected_seq: int, entries: Sequence[Entry]) -> Head:
        """Commit the entries as one row behind `expected_seq`; durable when this returns.

        An append may begin while others are on their way: it expects the last seq of the newest of them, and
        they become durable in that order. Raises SequenceConflict and UsageError (nothing was written),
        LogWriteFailed (unknown: stop and replay). After a failure, and after a cancelled append, every later
        append is refused.
        """
        self._admit(expected_seq)
        row = next_row(self._tail, entries, self._clock_ms(), self._codec)
        self._tail = row_head(row)
        known = False
        try:
            await self._commit(row)
            known = True
        finally:
            if not known:
                self._refusal = (
                    f"whether seq {row[0]} was committed is unknown; the log refuses until it is opened again"
                )
        return row_head(row)

    def sync_head(self) -> None:
        """Make the kept head durable; waits for the disk. Call it where a snapshot is saved."""
        try:
            self._head_file.sync()
        except OSError as error:
            raise _write_failure(error) from error

    def check_place(self) -> None:
        """Raise LogReplaced if the log is no longer the file at its path. Any thread may call it."""
        self._place.check()

    async def blocked_wal_bytes(self) -> int:
        """Return how many bytes of a long -wal cannot be checkpointed because a reader holds an old state.

        0 where the -wal is as short as it is without such a reader. Raises LogError.
        """
        if wal_bytes(self.path) <= WAL_LONG_BYTES:
            return 0
        with translate_driver_errors(self.path):
            rows = list(await self._connection.execute_fetchall("PRAGMA wal_checkpoint(PASSIVE)"))
        _, frames, moved = rows[0]
        return max(0, int(frames) - int(moved)) * WAL_FRAME_BYTES

    def reader(self) -> SqliteLogReader:
        """A reader of the same log."""
        return SqliteLogReader(self.path, self._codec)

    async def close(self) -> None:
        """Let go of the log; it needs no other file than itself then. Closing twice is harmless."""
        self._closed = True
        with translate_driver_errors(self.path):
            await self._stack.aclose()

    def _admit(self, expected_seq: int) -> None:
        if self._closed:
            raise UsageError("the log is closed")
        if self._refusal:
            raise LogWriteFailed(self._refusal)
        if expected_seq != self._tail.seq:
            raise SequenceConflict(expected_seq, self._tail.seq)

    async def _commit(self, row: Row) -> None:
        # Nothing is awaited before the statement is queued, so rows are queued in the order of their seqs. When
        # one fails, those behind it fail too: the table refuses a row that does not begin where the last ended.
        hit("before_commit")
        try:
            await self._connection.execute(INSERT, row)
            hit("after_commit")
            self._head = row_head(row)
            self._head_file.write(self._head)
        except (sqlite3.Error, OSError) as error:
            raise _write_failure(error) from error


def _write_failure(error: sqlite3.Error | OSError) -> LogWriteFailed:
    full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return LogWriteFailed(f"{'the disk is full' if full else 'the write failed'}: {error}")


def _located(path: str | Path) -> tuple[Path, Path]:
    """The path given, and the true one, so that an alias takes the same lock.

    Raises LogForeign before anything is laid beside it.
    """
    file = Path(path).resolve()
    with suppress(LogBusy):  # Whoever holds the lock waits for that, or undoes it.
        holds_log(file)
    return Path(path).absolute(), file


def _checked_head(path: Path, codec: Codec) -> tuple[Head, list[str]]:
    """The head of the log that is there, and warnings. Raises LogDamaged when it does not hold."""
    kept = read_head(path)
    if not holds_log(path):
        if kept is not None and kept.seq:
            raise LogDamaged(kept.seq, _cut(head_path(path)))
        return Head(), []
    with closing(SqliteLogReader(path, codec)) as reader:
        reader.verify_tail()
        check_known_damage(path, reader)
        head = reader.head()
    if kept is None and head.seq:
        return head, [f"{head_path(path)} is missing or torn, it was made anew; a cut tail could not be noticed"]
    return head, []


def _cut(path: Path) -> str:
    return f"the log does not hold the row that {path} remembers: its tail was cut off or an older copy took its place"
