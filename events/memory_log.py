"""The log in memory: the same contract as the SQLite log, for tests and for simulations that leave no files.

It stores encoded rows with the same hash chain, so a test can reproduce any damage to a row here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence

from papertape.events.chain import ChainReader, Row, next_row, row_head
from papertape.events.codec import CODEC, Codec
from papertape.events.errors import LogWriteFailed, SequenceConflict, UsageError
from papertape.events.log import Entry, Head

BLOB_BYTES_MAX = 1 << 30


class MemoryLogReader(ChainReader):
    """Reads the rows of a `MemoryEventLog`, also those that are appended later."""

    def __init__(self, rows: Sequence[Row], codec: Codec = CODEC) -> None:
        """Read `rows`, which is the log's own list, not a copy."""
        super().__init__(codec)
        self._rows = rows

    def close(self) -> None:
        """Do nothing: there is nothing to close."""

    def end_at_or_before(self, seq: int) -> Head:
        """Return the end of the last row that ends at or before `seq`."""
        index = bisect_right(self._rows, seq, key=lambda row: row_head(row).seq)
        return row_head(self._rows[index - 1]) if index else Head()

    def rows_after(self, seq: int) -> Iterator[Row]:
        """Yield the rows that begin after `seq`."""
        index = bisect_right(self._rows, seq, key=lambda row: row[0])
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
