"""The host: hands recorded events to projections. Catching up and following live are one code path."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from papertape.events.errors import LogDamaged
from papertape.projections.persistence.fold_store import NullFoldStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from papertape.events.log import Recorded
    from papertape.projections.persistence.fold_store import FoldPersistence

FOLLOW_EVENTS_MAX = 2_000


class Projection(Protocol):
    """A fold over recorded events. `apply` takes each event once, in the order of the log."""

    def apply(self, recorded: Recorded) -> None:
        """Take one event."""


class EventSource(Protocol):
    """The part of a log reader that following needs."""

    def read(self, after_seq: int, limit: int = ..., /) -> list[Recorded]:
        """At most `limit` events beyond `after_seq`."""


class Announcer(Protocol):
    """The part of the bus that following needs: it says that the log grew, and carries nothing."""

    @property
    def closed(self) -> bool:
        """Nothing will be published any more."""

    async def wait_beyond(self, seq: int) -> int:
        """The newest seq, as soon as it is beyond `seq`; a closed bus answers at once with where it stopped."""


class Cursor:
    """How far a set of projections has come: `seq` is the last event they took."""

    def __init__(self, seq: int = 0) -> None:
        self.seq = seq

    def advance(self, events: Sequence[Recorded]) -> None:
        """Step over the next events. Raises LogDamaged where one is missing or comes twice."""
        for recorded in events:
            if recorded.seq != self.seq + 1:
                raise LogDamaged(recorded.seq, f"the event after seq {self.seq} was expected")
            self.seq = recorded.seq


def fold(projections: Sequence[Projection], events: Iterable[Recorded]) -> None:
    """Hand every event to every projection, in order."""
    applies = [projection.apply for projection in projections]
    for recorded in events:
        for apply in applies:
            apply(recorded)


async def follow(
    reader: EventSource,
    bus: Announcer,
    projections: Sequence[Projection],
    cursor: Cursor,
    keeper: FoldPersistence | None = None,
) -> None:
    """Catch up from the cursor, then follow live; returns when the bus is closed and everything is folded.

    The cursor stands behind the events that were folded, also when this is cancelled; it may be handed to
    the next `follow`. `keeper` is shown the projections, as one tuple, between pages and at the end. Raises
    LogDamaged when the log skips or repeats an event.
    """
    keeper = keeper or NullFoldStore()
    folds = tuple(projections)
    while True:
        head_seq = await bus.wait_beyond(cursor.seq)
        if head_seq <= cursor.seq:
            await keeper.save(cursor.seq, folds, last=True)
            return
        events = reader.read(cursor.seq, FOLLOW_EVENTS_MAX)
        cursor.advance(events)
        fold(projections, events)
        await keeper.save(cursor.seq, folds)
        # A long catch-up must let others have their turn between pages.
        await asyncio.sleep(0)
