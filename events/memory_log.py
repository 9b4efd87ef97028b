"""The log in memory: the same contract as the SQLite log, for tests and for simulations that leave no files.

It stores encoded rows with the same hash chain, so a test can reproduce any damage to a row here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import dropwhile

from papertape.events.chain import Row, events_after, next_row, row_head, verify_rows
from papertape.events.codec import CODEC, Codec
from papertape.events.errors import LogWriteFailed, SequenceConflict, UsageError
from papertape.events.log import READ_EVENTS_MAX, Commit, Entry, Head, Recorded

BLOB_BYTES_MAX = 1 << 30


class MemoryLogReader:
    """Reads the rows of a `MemoryEventLog`, also those that are appended later."""

    def __init__(self, rows: Sequence[Row], codec: Codec = CODEC) -> None:
        """Read `rows`, which is the log's own list, not a copy."""
        self._rows = rows
        self._codec = codec

    def head(self) -> Head:
        """See `events.log.LogReader.head`."""
        return row_head(self._rows[-1]) if self._rows else Head()

    def hash_at(self, seq: int) -> bytes | None:
        """See `events.log.LogReader.hash_at`."""
        end = self._end_at_or_before(seq)
        return end.hash if end.seq == seq else None

    def commits(self, after_seq: int = 0) -> Iterator[Commit]:
        """See `events.log.LogReader.commits`."""
        predecessor = self._end_at_or_before(after_seq)
        return dropwhile(lambda commit: commit.last_seq <= after_seq, self._from(predecessor))

    def read(self, after_seq: int, limit: int = READ_EVENTS_MAX) -> list[Recorded]:
        """See `events.log.LogReader.read`."""
        return events_after(self.commits(after_seq), after_seq, limit)

    def close(self) -> None:
        """Do nothing: there is nothing to close."""

    def _end_at_or_before(self, seq: int) -> Head:
        index = bisect_right(self._rows, seq, key=lambda row: row_head(row).seq)
        return row_head(self._rows[index - 1]) if index else Head()

    def _from(self, predecessor: Head) -> Iterator[Commit]:
        first = bisect_right(self._rows, predecessor.seq, key=lambda row: row[0])
        return verify_rows(self._rows_from(first), predecessor, self._codec)

    def _rows_from(self, index: int) -> Iterator[Row]:
        while index < len(self._rows):  # Includes rows that are appended while this is being read.
            yield self._rows[index]
            index += 1


class MemoryEventLog:
    """An event log that lives as long as the process. `rows` is public, so that a test can damage it."""

    def __init__(
        self, *, clock_ms: Callable[[], int], codec: Codec = CODEC, blob_bytes_max: int = BLOB_BYTES_MAX
    ) -> None:
        """Create an empty log; `clock_ms` gives recorded_at_ms, and `blob_bytes_max` bytes of events fill it."""
        self.rows: list[Row] = []
        self._clock_ms = clock_ms
        self._codec = codec
        self._bytes_left = blob_bytes_max
        self._head = Head()
        self._refusal = ""
        self._closed = False

    @property
    def head(self) -> Head:
        """The seq and hash of the newest commit."""
        return self._head

    async def append(self, expected_seq: int, entries: Sequence[Entry]) -> Head:
        """See `events.log.EventLog.append`; raise UsageError for an invalid commit or after `close`."""
        if self._closed:
            raise UsageError("the log is closed")
        if self._refusal:
            raise LogWriteFailed(self._refusal)
        if expected_seq != self._head.seq:
            raise SequenceConflict(expected_seq, self._head.seq)
        row = next_row(self._head, entries, self._clock_ms(), self._codec)
        self._commit(row)
        return self._head

    def reader(self) -> MemoryLogReader:
        """Return a reader of the same log."""
        return MemoryLogReader(self.rows, self._codec)

    async def close(self) -> None:
        """Close the log; readers may go on reading. Closing twice is harmless."""
        self._closed = True

    def _commit(self, row: Row) -> None:
        if len(row[3]) > self._bytes_left:
            self._refusal = f"the disk is full: no room for the row at seq {row[0]}; the log refuses all appends"
            raise LogWriteFailed(self._refusal)
        self._bytes_left -= len(row[3])
        self.rows.append(row)
        self._head = row_head(row)
