"""The log in SQLite: one row per commit, one INSERT per row, one fsync per INSERT.

One connection writes, through aiosqlite, in autocommit: an append is one statement and one hop to the thread that waits
for the disk. Readers are plain read-only connections that hold no cursor between two pages.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, closing, contextmanager
from itertools import dropwhile
from pathlib import Path
from typing import TYPE_CHECKING

from papertape.events.chain import ChainReader, Row, grouped, next_row, row_head, stretch_of_rows, verify_rows
from papertape.events.codec import CODEC, Codec
from papertape.events.errors import LogDamaged, LogError, LogWriteFailed, SequenceConflict, UsageError
from papertape.events.failpoints import hit
from papertape.events.head_file import HeadFile, LogLock, cut_tail_text, head_path, read_head
from papertape.events.log import READ_EVENTS_MAX, Commit, Entry, EventStretch, Head, Recorded
from papertape.events.place import Place
from papertape.events.proof import check_known_damage
from papertape.events.segments.catalogue import Sealed, check_link, segment_at_or_before, segments
from papertape.events.segments.catalogue_writer import (
    WholeScripts,
    add_segment,
    delete_sealed_rows,
    give_back_pages,
)
from papertape.events.segments.folder import sealed_folder
from papertape.events.segments.open_segments import OpenSegments
from papertape.events.sqlite_file import (
    BUSY_TIMEOUT_S,
    INSERT,
    PAGES_MAX,
    WAL_FRAME_BYTES,
    WAL_LONG_BYTES,
    connect_to_read,
    holds_log,
    locate,
    prepare,
    roll_back_unfinished,
    sync_wal,
    translate_driver_errors,
    wal_bytes,
    write_failure,
)

if TYPE_CHECKING:
    import aiosqlite

    from papertape.events.segments.segment_file import SegmentFile, SegmentInfo

PAGE_ROWS_MAX = 256
PAGE_EVENTS_MAX = 16_384

_ROW = "SELECT seq, count, recorded_at_ms, events, hash FROM commits"
_NEWEST_ROW = f"{_ROW} ORDER BY seq DESC LIMIT 1"
_NEXT_ROWS = f"{_ROW} WHERE seq > ? ORDER BY seq LIMIT {PAGE_ROWS_MAX}"
_ENDS_BEFORE = "SELECT seq + count - 1, hash FROM commits WHERE seq <= ? ORDER BY seq DESC LIMIT 2"


class SqliteLogReader(ChainReader):
    """Reads a log through a read-only connection, beside a running writer or after a killed one. It never checkpoints.

    What was sealed and what is still in SQLite are one log: rows and catalogue are read in one transaction, so a seal
    is invisible. Any thread may use it, but only one at a time.
    """

    def __init__(self, path: str | Path, codec: Codec = CODEC, sealed: Path | None = None) -> None:
        """Open the log at `path`, whose segments are in the folder `sealed`, by default the one beside it.

        Raise LogMissing, LogForeign, LogFromNewerVersion or LogError.
        """
        super().__init__(codec)
        self._path = Path(path).resolve()
        self._connection = connect_to_read(self._path)
        self._segments = OpenSegments(sealed or sealed_folder(self._path), codec)

    def old_tags(self) -> dict[str, int]:
        """Return the number of events of each old shape in the log; they are converted when they are read."""
        counts: dict[str, int] = {}
        for _, _, _, blob, _ in self.rows_after(0):
            for tag in self._codec.old_tags(blob):
                counts[tag] = counts.get(tag, 0) + 1
        return counts

    def verify_tail(self) -> None:
        """Check the newest row against its predecessor, and the log against its head file, in constant time.

        Raise LogDamaged for an invalid row and for a tail that was cut off or replaced.
        """
        recorded = read_head(self._path)  # Read before the log: a running writer moves the log first.
        with translate_driver_errors(self._path):
            rows = self._connection.execute(_NEWEST_ROW).fetchall()
        for newest in rows:
            list(verify_rows([newest], self.end_at_or_before(newest[0] - 1), self._codec))
        if recorded is not None and recorded.seq and self.hash_at(recorded.seq) != recorded.hash:
            raise LogDamaged(recorded.seq, cut_tail_text(head_path(self._path)))

    def segments(self) -> list[Sealed]:
        """Return the sealed segments, oldest first."""
        with translate_driver_errors(self._path):
            return segments(self._connection)

    def sealed_end(self) -> Head:
        """Return the end of the last sealed row, the beginning of the log if there is none."""
        listed = self.segments()
        return Head(listed[-1].info.last_seq, listed[-1].info.hash_after) if listed else Head()

    def open_segment(self, sealed: Sealed, *, for_one_event: bool = False) -> SegmentFile:
        """Return the file of a segment. Raise LogArchived, or LogDamaged if it is not what was sealed.

        With `for_one_event`, only its index and the block that is read are checked, by their checksums.
        """
        try:
            return self._segments.open(sealed, for_one_event=for_one_event)
        except LogError:
            moved = next((one for one in self.segments() if one.info == sealed.info), sealed)
            if moved == sealed:
                raise
            return self._segments.open(moved, for_one_event=for_one_event)  # It was archived a moment ago.

    def commits(self, after_seq: int = 0) -> Iterator[Commit]:
        """See `events.log.LogReader.commits`. A sealed segment is checked as a whole, not row by row."""
        return dropwhile(lambda commit: commit.last_seq <= after_seq, self._commits(self.end_at_or_before(after_seq)))

    def stretches(self, after_seq: int = 0, events_min: int = READ_EVENTS_MAX) -> Iterator[EventStretch]:
        """See `events.log.LogReader.stretches`. A sealed stretch is a block."""
        with self._transaction(after_seq):
            sealed = segment_at_or_before(self._connection, after_seq)
        is_inside = sealed is not None and after_seq < sealed.info.last_seq  # Its hash would cost a block.
        end = Head(after_seq, b"") if is_inside else self.end_at_or_before(after_seq)
        while part := self._part_after(end.seq):
            if isinstance(part, Sealed):
                check_link(part.info, end)
                yield from self.open_segment(part).stretches(end.seq)
                end = Head(part.info.last_seq, part.info.hash_after)
                continue
            end = end if end.hash else self.end_at_or_before(end.seq)  # The rows are sealed, but not deleted yet.
            for rows in grouped(part, events_min):
                yield stretch_of_rows(rows, end, self._codec).after(after_seq)
                end = row_head(rows[-1])

    def rows_after(self, seq: int) -> Iterator[Row]:
        """Yield the rows that begin after `seq`, sealed ones too."""
        while part := self._part_after(seq):
            if isinstance(part, Sealed):
                yield from self.open_segment(part).rows(seq)
                seq = part.info.last_seq
            else:
                yield from part
                seq = part[-1][0]

    def end_at_or_before(self, seq: int) -> Head:
        """Return the end of the last row that ends at or before `seq`."""
        with self._transaction(seq):
            for end, row_hash in self._connection.execute(_ENDS_BEFORE, (seq,)).fetchall():
                if end <= seq:
                    return Head(end, row_hash)
            sealed = segment_at_or_before(self._connection, seq)
        if sealed is None:
            return Head()
        if sealed.info.last_seq <= seq:
            return Head(sealed.info.last_seq, sealed.info.hash_after)
        if sealed.info.first_seq == seq + 1:
            return Head(seq, sealed.info.hash_before)
        return self.open_segment(sealed).end_at_or_before(seq)

    def _recorded_at(self, seq: int) -> Recorded | None:
        with self._transaction(seq):
            sealed = segment_at_or_before(self._connection, seq)
        if sealed is None or seq > sealed.info.last_seq:
            return None
        return self.open_segment(sealed, for_one_event=True).recorded_at(seq)

    def close(self) -> None:
        """Close the files. Closing twice is harmless."""
        self._connection.close()
        self._segments.close()

    def _commits(self, end: Head) -> Iterator[Commit]:
        while part := self._part_after(end.seq):
            if isinstance(part, Sealed):
                check_link(part.info, end)
                yield from self.open_segment(part).commits(end.seq)
                end = Head(part.info.last_seq, part.info.hash_after)
            else:
                yield from verify_rows(part, end, self._codec)
                end = row_head(part[-1])

    def _part_after(self, seq: int) -> list[Row] | Sealed:
        """Return the next rows after `seq`, or the segment that holds them; an empty list at the end of the log."""
        with self._transaction(seq + 1):
            rows = self._page(seq)
            if rows and rows[0][0] == seq + 1:
                return rows
            sealed = segment_at_or_before(self._connection, seq + 1)
        return sealed if sealed is not None and sealed.info.last_seq > seq else rows

    def _page(self, seq: int) -> list[Row]:
        rows: list[Row] = []
        events = 0
        with closing(self._connection.execute(_NEXT_ROWS, (seq,))) as cursor:
            for row in cursor:
                rows.append(row)
                events += row[1]
                if events >= PAGE_EVENTS_MAX:
                    break
        return rows

    @contextmanager
    def _transaction(self, seq: int) -> Iterator[None]:
        """Read the rows and the catalogue as they were at one moment. Raise LogDamaged or LogError."""
        with translate_driver_errors(self._path, seq):
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                self._connection.rollback()


class SqliteEventLog:
    """The one writer of a log. Create it with `open`; close it, or its thread keeps the process alive.

    `warnings` are the problems found at opening that are not damage, for the engine to report.
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
        """Take over what `open` prepared; only `open` calls this."""
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
        """Open the log at `path` for writing, and create it if it is missing, in constant time.

        `clock_ms` gives recorded_at_ms; the file may grow to `pages_max` pages of 4 KiB. Raise LogHeld, LogForeign,
        LogDamaged (also for a cut tail), LogFromNewerVersion or LogError.
        """
        import aiosqlite  # noqa: PLC0415 - readers do without it, and without the event loop that it imports.

        named, file = locate(path)
        async with AsyncExitStack() as stack:
            stack.enter_context(LogLock(file))
            roll_back_unfinished(file)
            sync_wal(file)
            head, warnings = _checked_head(file, codec)
            with translate_driver_errors(file):
                connecting = aiosqlite.connect(file, timeout=BUSY_TIMEOUT_S, isolation_level=None, factory=WholeScripts)
                connection = await stack.enter_async_context(connecting)
            await prepare(file, connection, pages_max)
            with translate_driver_errors(file):
                await give_back_pages(connection)
            head_file = HeadFile(file, head)
            stack.callback(head_file.close)
            place = Place(named, file)
            resources = stack.pop_all()
        return cls(
            file,
            connection,
            head_file,
            resources,
            head=head,
            clock_ms=clock_ms,
            codec=codec,
            warnings=warnings,
            place=place,
        )

    @property
    def head(self) -> Head:
        """The seq and hash of the newest commit."""
        return self._head

    async def append(self, expected_seq: int, entries: Sequence[Entry]) -> Head:
        """Commit the entries as one row after `expected_seq`, durably, and return the new head.

        An append may begin while others are in progress: it expects the last seq of the newest of them, and they become
        durable in that order. Raise SequenceConflict or UsageError if nothing was written, LogWriteFailed if that is
        unknown: stop and replay. After a failed or cancelled append, every later one is refused.
        """
        self._admit(expected_seq)
        row = next_row(self._tail, entries, self._clock_ms(), self._codec)
        self._tail = row_head(row)
        is_committed = False
        try:
            await self._commit(row)
            is_committed = True
        finally:
            if not is_committed:
                self._refusal = (
                    f"it is unknown whether seq {row[0]} was committed; the log refuses appends until reopened"
                )
        return row_head(row)

    def sync_head(self) -> None:
        """Make the recorded head durable; waits for the disk. Call it when a snapshot is saved."""
        try:
            self._head_file.sync()
        except OSError as error:
            raise write_failure(error) from error

    def check_place(self) -> None:
        """Raise LogReplaced if the log is no longer the file at its path. Any thread may call it."""
        self._place.check()

    async def blocked_wal_bytes(self) -> int:
        """Return how many bytes of a long -wal cannot be checkpointed because a reader holds an old state.

        A -wal of ordinary length gives 0. Raise LogError if the log cannot be read.
        """
        if wal_bytes(self.path) <= WAL_LONG_BYTES:
            return 0
        with translate_driver_errors(self.path):
            rows = list(await self._connection.execute_fetchall("PRAGMA wal_checkpoint(PASSIVE)"))
        _, frames, moved = rows[0]
        return max(0, int(frames) - int(moved)) * WAL_FRAME_BYTES

    async def add_segment(self, info: SegmentInfo) -> None:
        """Enter a segment, whose file is durable, into the catalogue. Raise LogError if it does not fit."""
        with translate_driver_errors(self.path):
            await add_segment(self._connection, info)

    async def delete_sealed_rows(self, rows_max: int) -> int:
        """Delete the oldest sealed rows, `rows_max` at most, and return how many. Raise LogError on failure."""
        with translate_driver_errors(self.path):
            return await delete_sealed_rows(self._connection, rows_max)

    def reader(self) -> SqliteLogReader:
        """Return a reader of the same log."""
        return SqliteLogReader(self.path, self._codec)

    async def close(self) -> None:
        """Close the log, merge its -wal and release its lock. Closing twice is harmless."""
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
        # Nothing is awaited before the statement is queued, so rows are queued in the order of their seqs. If one
        # fails, the later ones fail too: the table refuses a row that does not begin where the last one ended.
        hit("before_commit")
        try:
            await self._connection.execute(INSERT, row)
            hit("after_commit")
            assert row[0] > self._head.seq, f"the row at seq {row[0]} was committed after seq {self._head.seq}"
            self._head = row_head(row)
            self._head_file.write(self._head)
        except (sqlite3.Error, OSError) as error:
            raise write_failure(error) from error


def _checked_head(path: Path, codec: Codec) -> tuple[Head, list[str]]:
    """Return the head of the existing log, and warnings. Raise LogDamaged if the log is damaged."""
    recorded = read_head(path)
    if not holds_log(path):
        if recorded is not None and recorded.seq:
            raise LogDamaged(recorded.seq, cut_tail_text(head_path(path)))
        return Head(), []
    with closing(SqliteLogReader(path, codec)) as reader:
        reader.verify_tail()
        check_known_damage(path, reader)
        head = reader.head()
    if recorded is None and head.seq:
        return head, [f"{head_path(path)} was missing or torn and was created anew; a cut tail could not be detected"]
    return head, []
