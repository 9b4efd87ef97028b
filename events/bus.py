"""The bus: tells those who follow the log that it grew. It carries no events.

Subscribers pull from the log behind their own cursor, so a slow one costs nobody anything and nothing can
overflow. The bus belongs to one event loop.
"""

from __future__ import annotations

import asyncio

from papertape.events.errors import UsageError

WAITERS_MAX = 1_024


class Bus:
    """Publishes the newest committed seq inside one process."""

    def __init__(self, head_seq: int = 0) -> None:
        """`head_seq` is where the log ends now."""
        self._head_seq = head_seq
        self._moved = asyncio.Event()
        self._waiters = 0
        self._closed = False

    @property
    def head_seq(self) -> int:
        """The newest seq that was published."""
        return self._head_seq

    @property
    def closed(self) -> bool:
        """Nothing will be published any more."""
        return self._closed

    def publish(self, head_seq: int) -> None:
        """Tell everybody that the log is committed up to `head_seq`. Raises UsageError for a step back."""
        if self._closed or head_seq < self._head_seq:
            raise UsageError(
                f"the bus stands at seq {self._head_seq}, closed: {self._closed}; it cannot say {head_seq}"
            )
        self._head_seq = head_seq
        self._wake()

    async def wait_beyond(self, seq: int) -> int:
        """The newest seq, as soon as it is beyond `seq`.

        A closed bus answers at once with where it stopped, which may not be beyond `seq`: look at `closed`.
        Raises UsageError when more than WAITERS_MAX wait.
        """
        if self._waiters >= WAITERS_MAX:
            raise UsageError(f"more than {WAITERS_MAX} subscribers wait on the bus")
        self._waiters += 1
        try:
            while self._head_seq <= seq and not self._closed:
                await self._moved.wait()
        finally:
            self._waiters -= 1
        return self._head_seq

    def close(self) -> None:
        """Wake everybody for the last time. Closing twice is harmless."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        if self._waiters:
            self._moved.set()
            self._moved = asyncio.Event()
