"""The port of the log: what an event log promises, whatever holds it.

A row is a commit: the events of one append become true together or not at all. `seq` starts at 1, has no
gaps and is the only order. Each row's hash chains to the one before, from `GENESIS_HASH`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from msgspec import Struct

from papertape.events.facts import Event

GENESIS_HASH = bytes(32)
COMMIT_EVENTS_MAX = 4_096
READ_EVENTS_MAX = 10_000


class Entry(Struct, frozen=True):
    """An event on its way into the log. `cause` is the seq that led to it, 0 for input from outside."""

    event: Event
    cause: int = 0


class Recorded(Struct, frozen=True):
    """An event in the log."""

    seq: int
    recorded_at_ms: int
    cause: int
    event: Event


class Commit(Struct, frozen=True):
    """A row: events `seq .. seq + len(events) - 1`, all recorded at once."""

    seq: int
    recorded_at_ms: int
    events: list[Event]
    causes: list[int]
    hash: bytes

    @property
    def last_seq(self) -> int:
        """The seq of the row's last event."""
        return self.seq + len(self.events) - 1

    def recorded(self) -> Iterator[Recorded]:
        """The row's events one by one."""
        for offset, (event, cause) in enumerate(zip(self.events, self.causes, strict=True)):
            yield Recorded(self.seq + offset, self.recorded_at_ms, cause, event)


class Head(Struct, frozen=True):
    """The end of the log: the seq of the newest event and the hash of its row."""

    seq: int = 0
    hash: bytes = GENESIS_HASH


class LogReader(Protocol):
    """Reading, for everybody."""

    def head(self) -> Head:
        """The newest seq and hash that is committed."""

    def hash_at(self, seq: int) -> bytes | None:
        """The stored hash of the row whose last event is `seq`; None when no row ends there."""

    def commits(self, after_seq: int = 0) -> Iterator[Commit]:
        """All rows whose last event is beyond `after_seq`, oldest first, each checked against the chain.

        Raises LogDamaged or LogFromNewerVersion at the first row that does not hold.
        """

    def read(self, after_seq: int, limit: int = READ_EVENTS_MAX) -> list[Recorded]:
        """At most `limit` events beyond `after_seq`: one short read transaction."""

    def close(self) -> None:
        """Let go of the file. Closing twice is harmless."""


class EventLog(Protocol):
    """Writing, for the one engine that holds the log."""

    @property
    def head(self) -> Head:
        """The newest seq and hash that is committed."""

    async def append(self, expected_seq: int, entries: Sequence[Entry]) -> Head:
        """Commit the entries as one row behind `expected_seq`; durable when this returns.

        Raises SequenceConflict (nothing was written), LogWriteFailed (unknown: stop and replay).
        """

    def reader(self) -> LogReader:
        """A reader of the same log."""

    async def close(self) -> None:
        """Let go of the log. Closing twice is harmless."""
