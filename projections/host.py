"""The host hands recorded events to projections. Catching up and following live share one code path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from papertape.events.errors import LogDamaged
from papertape.projections.persistence.fold_store import NullFoldStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from papertape.events.log import Recorded
    from papertape.projections.persistence.fold_store import FoldPersistence

FOLLOW_EVENTS_MAX = 2_000


class Projection(Protocol):
    """A fold over recorded events. `apply` receives each event once, in log order."""

    def apply(self, recorded: Recorded) -> None:
        """Fold one event."""


class EventSource(Protocol):
    """The part of a log reader that following needs."""

    def read(self, after_seq: int, limit: int = ..., /) -> list[Recorded]:
        """Return at most `limit` events after `after_seq`."""


class Announcer(Protocol):
    """The part of the bus that following needs: it announces that the log grew and carries no data."""

    @property
    def closed(self) -> bool:
        """Whether nothing more will be published."""

    async def wait_beyond(self, seq: int) -> int:
        """Return the newest seq once it exceeds `seq`; on a closed bus, return its last seq at once."""


class Cursor:
    """The position of a set of projections: `seq` is the last event they folded."""

    def __init__(self, seq: int = 0) -> None:
        self.seq = seq

    def advance(self, events: Sequence[Recorded]) -> None:
        """Advance past the next events. Raises LogDamaged if a seq is missing or repeated."""
        for recorded in events:
            if recorded.seq != self.seq + 1:
                raise LogDamaged(recorded.seq, f"the event after seq {self.seq} was expected")
            self.seq = recorded.seq


def fold(projections: Sequence[Projection], events: Iterable[Recorded]) -> None:
    """Apply every event to every projection, in order."""
    applies = [projection.apply for projection in projections]
    for recorded in events:
        for apply in applies:
            apply(recorded)


async def follow(
    reader: EventSource,
    bus: Announcer,
    projections: Sequence[Projection],
    cursor: Cursor,
    fold_store: FoldPersistence | None = None,
) -> None:
    """Catch up from the cursor, then follow live; return once the bus is closed and everything is folded.

    After a cancellation the cursor still matches the folded events, so the next `follow` can continue from it.
    `fold_store` is offered the projections, as one tuple, after each page and at the end. Raises LogDamaged if the log
    skips or repeats an event.
    """
    import asyncio  # noqa: PLC0415 - what only folds a log needs no event loop.

    fold_store = fold_store or NullFoldStore()
    folds = tuple(projections)
    while True:
        head_seq = await bus.wait_beyond(cursor.seq)
        if head_seq <= cursor.seq:
            await fold_store.save(cursor.seq, folds, last=True)
            return
        events = reader.read(cursor.seq, FOLLOW_EVENTS_MAX)
        cursor.advance(events)
        fold(projections, events)
        await fold_store.save(cursor.seq, folds)
        # Let other tasks run between the pages of a long catch-up.
        await asyncio.sleep(0)
