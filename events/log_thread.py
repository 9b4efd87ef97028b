"""Read a log in one thread of its own, so that neither a slow disk nor a long read ever delays the event loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

from papertape.events.errors import LogBusy
from papertape.events.log import READ_EVENTS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

    from papertape.events.log import LogReader, Recorded

WAITING_MAX: Final = 256

T = TypeVar("T")


class LogThread:
    """Runs functions one after another, each with the same reader. Close it at the end."""

    def __init__(self, open_reader: Callable[[], LogReader]) -> None:
        """Start the thread; it calls `open_reader` when the log is first needed, and again after a failure."""
        self._open_reader = open_reader
        self._reader: LogReader | None = None
        self._waiting = 0
        self._closed = False
        # One thread: a reader serves one caller at a time, also when a caller was cancelled halfway.
        self._pool = ThreadPoolExecutor(1, "log")

    async def run(self, use: Callable[[LogReader], T]) -> T:
        """Call `use` with the reader and return its result; cancelling the caller does not stop the call.

        Raise LogBusy if this is closed or WAITING_MAX callers are already waiting, and whatever opening the log or
        `use` raises.
        """
        self._check_open()
        if self._waiting >= WAITING_MAX:
            raise LogBusy(f"{WAITING_MAX} callers are already waiting to read the log")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._use, use)
        finally:
            self._waiting -= 1

    async def read(self, after_seq: int, limit: int = READ_EVENTS_MAX) -> list[Recorded]:
        """Return at most `limit` events after `after_seq`. Raise like `run`, and UsageError for an invalid limit."""
        return await self.run(lambda reader: reader.read(after_seq, limit))

    def close(self) -> None:
        """Close the log after the call that is running; refuse all others. Closing twice is harmless."""
        self._closed = True
        self._pool.shutdown(wait=True)
        if self._reader is not None:
            self._reader.close()

    def _check_open(self) -> None:
        if self._closed:
            raise LogBusy("the log is closed")

    def _use(self, use: Callable[[LogReader], T]) -> T:
        self._check_open()
        if self._reader is None:
            self._reader = self._open_reader()
        return use(self._reader)
