"""The port of the log: what an event log guarantees, whatever stores it.

A row is a commit: the events of one append become true together or not at all. `seq` starts at 1, has no gaps and is
the only order. The hash of each row covers that of the row before, starting with `GENESIS_HASH`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, count, repeat
from typing import Protocol

from msgspec import Struct

from papertape.events.facts import Event

GENESIS_HASH = bytes(32)
COMMIT_EVENTS_MAX = 4_096
READ_EVENTS_MAX = 10_000


class Entry(Struct, frozen=True):
    """An event to append. `cause` is the seq of the event that led to it, 0 for input from outside."""

    event: Event
    cause: int = 0


class Recorded(Struct, frozen=True, gc=False):
    """An event in the log."""

    seq: int
    recorded_at_ms: int
    cause: int
    event: Event


class Commit(Struct, frozen=True, gc=False):
    """A row: the events `seq` to `seq + len(events) - 1`, all recorded at once. `LogReader.hash_at` knows its hash."""

    seq: int
    recorded_at_ms: int
    events: list[Event]
    causes: list[int]

    @property
    def last_seq(self) -> int:
        """The seq of the row's last event."""
        return self.seq + len(self.events) - 1

    def recorded(self) -> Iterator[Recorded]:
        """Return the row's events one by one."""
        return map(Recorded, count(self.seq), repeat(self.recorded_at_ms), self.causes, self.events)


class EventStretch(Struct, frozen=True, gc=False):
    """The events from `first_seq` on, in log order, with the cause and the time of recording of each.

    `hash` is that of the row with which the stretch ends, empty if it ends inside one.
    """

    first_seq: int
    events: list[Event]
    causes: list[int]
    recorded_at_ms: list[int]
    hash: bytes = b""

    @property
    def last_seq(self) -> int:
        """The last event, the one before `first_seq` if there are none."""
        return self.first_seq + len(self.events) - 1

    def __len__(self) -> int:
        return len(self.events)

    def recorded(self) -> Iterator[Recorded]:
        """Return the events one by one."""
        return map(Recorded, count(self.first_seq), self.recorded_at_ms, self.causes, self.events)

    def recorded_at(self, place: int) -> Recorded:
        """Return the event at a place."""
        return Recorded(self.first_seq + place, self.recorded_at_ms[place], self.causes[place], self.events[place])

    def cut(self, begin: int, end: int) -> EventStretch:
        """Return the events at the places from `begin` to before `end`."""
        return EventStretch(
            self.first_seq + begin,
            self.events[begin:end],
            self.causes[begin:end],
            self.recorded_at_ms[begin:end],
            self.hash if end >= len(self) else b"",
        )

    def after(self, seq: int) -> EventStretch:
        """Return the events after an event."""
        return self if seq < self.first_seq else self.cut(seq + 1 - self.first_seq, len(self))

    def until(self, seq: int) -> EventStretch:
        """Return the events up to an event."""
        return self if seq >= self.last_seq else self.cut(0, max(seq + 1 - self.first_seq, 0))


def stretch_of(rows: Sequence[Commit], row_hash: bytes = b"") -> EventStretch:
    """Return the events of consecutive commits, at least one; `row_hash` is that of the last."""
    return EventStretch(
        rows[0].seq,
        list(chain.from_iterable([row.events for row in rows])),
        list(chain.from_iterable([row.causes for row in rows])),
        list(chain.from_iterable([repeat(row.recorded_at_ms, len(row.events)) for row in rows])),
        row_hash,
    )


class Head(Struct, frozen=True):
    """The end of the log: the seq of the newest event and the hash of its row."""

    seq: int = 0
    hash: bytes = GENESIS_HASH


class LogReader(Protocol):
    """Reads a log; any number of readers may exist."""

    def head(self) -> Head:
        """Return the seq and hash of the newest commit."""

    def hash_at(self, seq: int) -> bytes | None:
        """Return the stored hash of the row whose last event is `seq`; None if no row ends there."""

    def commits(self, after_seq: int = 0) -> Iterator[Commit]:
        """Yield all rows whose last event is after `after_seq`, oldest first, each checked against the chain.

        Raise LogDamaged or LogFromNewerVersion at the first invalid row.
        """

    def stretches(self, after_seq: int = 0, events_min: int = READ_EVENTS_MAX) -> Iterator[EventStretch]:
        """Yield what `commits` yields in stretches, each of whole rows from after `after_seq` on.

        A stretch is complete with `events_min` events; a sealed one is as long as can be read at once.
        """

    def read(self, after_seq: int, limit: int = READ_EVENTS_MAX) -> list[Recorded]:
        """Return at most `limit` events after `after_seq`, in one short read transaction."""

    def close(self) -> None:
        """Close the file. Closing twice is harmless."""


class EventLog(Protocol):
    """Writes a log, for the one engine that holds it."""

    @property
    def head(self) -> Head:
        """The seq and hash of the newest commit."""

    async def append(self, expected_seq: int, entries: Sequence[Entry]) -> Head:
        """Commit the entries as one row after `expected_seq`, durably, and return the new head.

        Raise SequenceConflict if nothing was written, LogWriteFailed if that is unknown: stop and replay.
        """

    def reader(self) -> LogReader:
        """Return a reader of the same log."""

    async def close(self) -> None:
        """Close the log and release its lock. Closing twice is harmless."""
