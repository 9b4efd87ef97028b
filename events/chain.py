"""The hash chain that links each row of a log to its predecessor, the same for every kind of log.

A row is a plain tuple, as the database returns it. Its hash is BLAKE2b-256 over the hash of the previous row, its own
numbers and its blob, so the next reader notices every row that was changed, removed or moved.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import dropwhile

from papertape.events.codec import Codec
from papertape.events.errors import LogDamaged, UsageError
from papertape.events.log import (
    COMMIT_EVENTS_MAX,
    READ_EVENTS_MAX,
    Commit,
    Entry,
    EventStretch,
    Head,
    Recorded,
    stretch_of,
)

Row = tuple[int, int, int, bytes, bytes]
"""(seq of its first event, count, recorded_at_ms, blob, hash)."""

HASH_BYTES = 32
_SEQ_MAX = 2**63 - 1
_pack_numbers = struct.Struct(">qqq").pack


def row_hash(previous_hash: bytes, seq: int, count: int, recorded_at_ms: int, blob: bytes) -> bytes:
    """Return the hash of a row that follows the row with `previous_hash`."""
    numbers = _pack_numbers(seq, count, recorded_at_ms)
    return blake2b(previous_hash + numbers + blob, digest_size=HASH_BYTES).digest()


def next_row(head: Head, entries: Sequence[Entry], recorded_at_ms: int, codec: Codec) -> Row:
    """Return the row that appends these entries after `head`. Raise UsageError if they cannot form a commit."""
    count, seq = len(entries), head.seq + 1
    if not 1 <= count <= COMMIT_EVENTS_MAX:
        raise UsageError(f"a commit holds 1 to {COMMIT_EVENTS_MAX} events, not {count}")
    for own_seq, entry in enumerate(entries, start=seq):
        if not 0 <= entry.cause < own_seq:
            raise UsageError(f"the event at seq {own_seq} cannot be caused by seq {entry.cause}")
    blob = codec.encode_commit(entries)
    return seq, count, recorded_at_ms, blob, row_hash(head.hash, seq, count, recorded_at_ms, blob)


def row_head(row: Row) -> Head:
    """Return the head of a log that ends with this row."""
    return Head(row[0] + row[1] - 1, row[4])


def verify_rows(rows: Iterable[Row], predecessor: Head, codec: Codec) -> Iterator[Commit]:
    """Yield the rows as commits, each checked against the chain that begins at `predecessor`.

    Raise LogDamaged or LogFromNewerVersion at the first invalid row.
    """
    end = predecessor
    for row in rows:
        end = next_end(end, row)
        seq, count, recorded_at_ms, blob, _ = row
        events, causes = codec.decode(seq, blob)
        if not count == len(events) == len(causes):
            raise LogDamaged(seq, f"the row declares {count} events, but holds {len(events)} and {len(causes)} causes")
        yield Commit(seq, recorded_at_ms, events, causes)


def next_end(end: Head, row: Row) -> Head:
    """Return the end of a row that continues the chain at `end`. Raise LogDamaged if it does not."""
    seq, count, recorded_at_ms, blob, stored_hash = row
    if seq != end.seq + 1:
        raise LogDamaged(end.seq + 1, f"the row is missing; the next one begins at seq {seq}")
    try:
        is_intact = row_hash(end.hash, seq, count, recorded_at_ms, blob) == stored_hash
    except (TypeError, struct.error) as error:  # A flipped bit can also change the type of a column.
        raise LogDamaged(seq, f"the row is torn: {error}") from error
    if not is_intact:
        raise LogDamaged(seq, "the row does not match its hash")
    return Head(seq + count - 1, stored_hash)


def grouped(rows: Iterable[Row], events_min: int) -> Iterator[list[Row]]:
    """Yield rows in groups that are complete with `events_min` events."""
    group: list[Row] = []
    events = 0
    for row in rows:
        group.append(row)
        events += row[1]
        if events >= events_min:
            yield group
            group, events = [], 0
    if group:
        yield group


def stretch_of_rows(rows: Sequence[Row], predecessor: Head, codec: Codec) -> EventStretch:
    """Return the events of rows that follow `predecessor`. Raise like `verify_rows`."""
    return stretch_of(list(verify_rows(rows, predecessor, codec)), rows[-1][4])


class ChainReader(ABC):
    """Reads a log (`events.log.LogReader`) given access to its rows.

    A read includes rows that are committed while it runs.
    """

    def __init__(self, codec: Codec) -> None:
        self._codec = codec

    @abstractmethod
    def end_at_or_before(self, seq: int) -> Head:
        """Return the end of the last row that ends at or before `seq`."""

    @abstractmethod
    def rows_after(self, seq: int) -> Iterator[Row]:
        """Yield the rows that begin after `seq`."""

    def _recorded_at(self, seq: int) -> Recorded | None:  # noqa: ARG002 - for readers that have a shortcut.
        """Return one event if that is cheaper than reading its surroundings."""
        return None

    def head(self) -> Head:
        """See `events.log.LogReader.head`."""
        return self.end_at_or_before(_SEQ_MAX)

    def hash_at(self, seq: int) -> bytes | None:
        """See `events.log.LogReader.hash_at`."""
        end = self.end_at_or_before(seq)
        return end.hash if end.seq == seq else None

    def commits(self, after_seq: int = 0) -> Iterator[Commit]:
        """See `events.log.LogReader.commits`."""
        return self.rehashed_commits(after_seq)

    def rehashed_commits(self, after_seq: int = 0) -> Iterator[Commit]:
        """Yield what `commits` yields, but compute the hash of every row anew, also of sealed ones."""
        predecessor = self.end_at_or_before(after_seq)
        commits = verify_rows(self.rows_after(predecessor.seq), predecessor, self._codec)
        return dropwhile(lambda commit: commit.last_seq <= after_seq, commits)

    def stretches(self, after_seq: int = 0, events_min: int = READ_EVENTS_MAX) -> Iterator[EventStretch]:
        """See `events.log.LogReader.stretches`."""
        end = self.end_at_or_before(after_seq)
        for rows in grouped(self.rows_after(end.seq), events_min):
            yield stretch_of_rows(rows, end, self._codec).after(after_seq)
            end = row_head(rows[-1])

    def read(self, after_seq: int, limit: int = READ_EVENTS_MAX) -> list[Recorded]:
        """See `events.log.LogReader.read`. Raise UsageError for a limit outside 1 to READ_EVENTS_MAX."""
        if not 1 <= limit <= READ_EVENTS_MAX:
            raise UsageError(f"a read returns 1 to {READ_EVENTS_MAX} events, not {limit}")
        events: list[Recorded] = []
        if limit == 1 and (one := self._recorded_at(after_seq + 1)) is not None:
            return [one]
        for stretch in self.stretches(after_seq, limit):
            events += stretch.cut(0, limit - len(events)).recorded()
            if len(events) >= limit:
                break
        return events
