"""Pages of a log, read in a thread of their own: neither a slow disk nor a long page holds up the event loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from events.errors import LogBusy, UsageError
from events.log import READ_EVENTS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

    from events.log import LogReader, Recorded

READS_WAITING_MAX: Final = 256


class Pages:
    """One reader, opened at the first read; whoever asks waits for those before. Close it at the end."""

    def __init__(self, open_reader: Callable[[], LogReader]) -> None:
        self._open_reader = open_reader
        self._reader: LogReader | None = None
        self._waiting = 0
        self._closed = False
        # One thread: a reader serves one caller at a time, also when whoever asked went away in the middle.
        self._thread = ThreadPoolExecutor(1, "pages")

    async def read(self, after_seq: int, limit: int = READ_EVENTS_MAX) -> list[Recorded]:
        """At most `limit` events beyond `after_seq`.

        Raises UsageError for a limit that there is not, LogBusy when more than READS_WAITING_MAX wait, and what
        reading and opening the log raise.
        """
        self._check_open()
        if self._waiting >= READS_WAITING_MAX:
            raise LogBusy(f"{READS_WAITING_MAX} wait for pages of the log already")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._read, after_seq, limit)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Let go of the log, when the page that is being read is done. Closing twice is harmless."""
        self._closed = True
        self._thread.shutdown(wait=True)
        if self._reader is not None:
            self._reader.close()

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError("the pages of the log are closed")

    def _read(self, after_seq: int, limit: int) -> list[Recorded]:
        self._check_open()  # Those who still waited at the end get no page any more.
        if self._reader is None:
            self._reader = self._open_reader()
        return self._reader.read(after_seq, limit)
