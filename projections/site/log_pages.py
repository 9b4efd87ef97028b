"""The pages of a log, read one after another in a separate thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from papertape.events.errors import LogDamaged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from papertape.events.log import EventStretch, LogReader, Recorded

T = TypeVar("T")


class EventReader(Protocol):
    """Reads events: `events.log_thread.LogThread`."""

    async def run(self, use: Callable[[LogReader], T], /) -> T:
        """Call `use` with a reader in a thread and return its result."""

    async def read(self, after_seq: int, limit: int = ..., /) -> list[Recorded]:
        """Return at most `limit` events after `after_seq`."""

    def close(self) -> None:
        """Close the log."""


class Pages:
    """The pages of a log from an event on. Reading continues where the last page ended."""

    def __init__(self, reader: EventReader, after_seq: int, events_min: int) -> None:
        self._reader, self._seq, self._events_min = reader, after_seq, events_min
        self._rest: Iterator[EventStretch] | None = None

    async def next(self) -> EventStretch | None:
        """Return the next events; None if the log holds no more now."""
        page = await self._reader.run(self._next)
        if page is not None:
            self._seq = page.last_seq
        return page

    def _next(self, reader: LogReader) -> EventStretch | None:
        if self._rest is None:
            self._rest = reader.stretches(self._seq, self._events_min)
        page = next(self._rest, None)
        if page is None:
            self._rest = None
        elif page.first_seq != self._seq + 1:
            raise LogDamaged(page.first_seq, f"the event after seq {self._seq} was expected")
        return page
