"""Seal old commits while the engine runs: a process writes the segment, the engine's own connection does the rest.

One segment follows the other until only about the last day is left in SQLite, so an old log is sealed in the background
after an upgrade. A seal that was interrupted is completed first. Between two steps the engine appends.
"""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING, Final

import msgspec

from papertape.engine.background_process import closed_within, run_beside
from papertape.events.errors import LogDamaged, LogError
from papertape.events.segments.sealing import SEGMENT_EVENTS_MIN, next_segment_end, whole_days_before
from papertape.events.segments.segment_file import SegmentInfo

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from papertape.engine.ports.clock import Clock
    from papertape.events.bus import Bus
    from papertape.events.sqlite_log import SqliteEventLog

FIRST_AFTER_S: Final = 3_600.0
"""An hour in which an upgrade can still be undone: older versions cannot read a sealed log."""
CHECK_EVERY_S: Final = 600.0
RETRY_AFTER_S: Final = 3_600.0
DELETED_ROWS_MAX: Final = 16
"""Deleting this many takes about as long as an append, which may wait behind it."""
DELETE_EVERY_S: Final = 0.1


class Sealing:
    """Seals one log. `failure` is why the last attempt failed, empty if it succeeded."""

    def __init__(
        self,
        log: SqliteEventLog,
        bus: Bus,
        clock: Clock,
        warn: Callable[[str], None],
        events_min: int = SEGMENT_EVENTS_MIN,
    ) -> None:
        """Seal only whole days, once they have `events_min` events."""
        self._log, self._bus, self._clock, self._warn, self._events_min = log, bus, clock, warn, events_min
        self.failure = ""

    def watchers(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return the watcher by name."""
        return {"sealing of the log": self.watch}

    async def watch(
        self,
        first_after_s: float = FIRST_AFTER_S,
        every_s: float = CHECK_EVERY_S,
        retry_after_s: float = RETRY_AFTER_S,
    ) -> None:
        """Seal whatever is old enough, periodically. Raise LogDamaged if a row to seal is damaged."""
        pause_s = first_after_s
        while not await closed_within(self._bus, pause_s):
            try:
                failure = await self._seal_all()
            except LogDamaged:
                raise
            except (LogError, OSError) as error:
                failure = str(error)
            if failure and failure != self.failure:
                self._warn(f"old events could not be sealed: {failure}; retrying")
            self.failure = failure
            pause_s = retry_after_s if failure else every_s

    async def _seal_all(self) -> str:
        """Seal one segment after the other; return why one failed, or an empty text. Raise LogError or LogDamaged."""
        while not self._bus.closed:
            await self._delete_sealed_rows()
            last_seq = await asyncio.to_thread(self._next_segment_end)
            if last_seq is None or self._bus.closed:
                return ""
            written = await run_beside(
                self._bus, "papertape.events.segments.sealing", str(self._log.path), str(last_seq)
            )
            if not written.output:
                return written.failure
            await self._log.add_segment(msgspec.json.decode(written.output, type=SegmentInfo))
        return ""

    async def _delete_sealed_rows(self) -> None:
        while await self._log.delete_sealed_rows(DELETED_ROWS_MAX):
            if await closed_within(self._bus, DELETE_EVERY_S):
                return

    def _next_segment_end(self) -> int | None:
        with closing(self._log.reader()) as reader:
            return next_segment_end(reader, whole_days_before(self._clock.now_ms()), self._events_min)
