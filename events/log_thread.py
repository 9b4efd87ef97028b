"""One log and one thread that reads it: neither a slow disk nor a long read ever holds up the event loop."""

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
    """Runs what is given to it one after another, each with the one reader. Close it at the end."""

    def __init__(self, open_reader: Callable[[], LogReader]) -> None:
        """`open_reader` opens the log when it is first needed, and is asked again where it could not."""
        self._open_reader = open_reader
        self._reader: LogReader | None = None
        self._waiting = 0
        self._closed = False
        # One thread: a reader serves one caller at a time, also when whoever asked went away in the middle.
        self._pool = ThreadPoolExecutor(1, "log")

    async def run(self, use: Callable[[LogReader], T]) -> T:
        """What `use` finds in the log; it is carried through also when nobody waits for it any more.

        Raises LogBusy when the log was let go of or more than WAITING_MAX wait, what opening it raises, and what
        `use` raises.
        """
        self._check_open()
        if self._waiting >= WAITING_MAX:
            raise LogBusy(f"{WAITING_MAX} wait to read the log already")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._use, use)
        finally:
            self._waiting -= 1

    async def read(self, after_seq: int, limit: int = READ_EVENTS_MAX) -> list[Recorded]:
        """At most `limit` events beyond `after_seq`. Raises what `run` raises, UsageError for a limit out of range."""
        return await self.run(lambda reader: reader.read(after_seq, limit))

    def close(self) -> None:
        """Let go of the log when the turn that runs is over; others are refused. Closing twice is harmless."""
        self._closed = True
        self._pool.shutdown(wait=True)
        if self._reader is not None:
            self._reader.close()

    def _check_open(self) -> None:
        if self._closed:
            raise LogBusy("the log was let go of")

    def _use(self, use: Callable[[LogReader], T]) -> T:
        self._check_open()
        if self._reader is None:
            self._reader = self._open_reader()
        return use(self._reader)
