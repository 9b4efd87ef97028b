"""The bus: announces to the followers of the log that it has grown. It carries no events.

Each follower reads the log from its own cursor, so a slow follower delays nobody and nothing can overflow. A bus
belongs to one event loop.
"""

from __future__ import annotations

import asyncio

from papertape.events.errors import UsageError

WAITERS_MAX = 1_024


class Bus:
    """Publishes the newest committed seq inside one process."""

    def __init__(self, head_seq: int = 0) -> None:
        """Create a bus for a log that ends at `head_seq`."""
        self._head_seq = head_seq
        self._moved = asyncio.Event()
        self._waiters = 0
        self._closed = asyncio.Event()

    @property
    def has_looked(self) -> bool:
        """Whether it is known whether the log has events: the writer always knows."""
        return True

    @property
    def head_seq(self) -> int:
        """The newest published seq."""
        return self._head_seq

    @property
    def closed(self) -> bool:
        """Whether the bus is closed, so that nothing more will be published."""
        return self._closed.is_set()

    def publish(self, head_seq: int) -> None:
        """Announce that the log is committed up to `head_seq`. Raise UsageError for a step back or a closed bus."""
        if self.closed or head_seq < self._head_seq:
            state = "closed" if self.closed else "open"
            raise UsageError(f"the bus is {state} at seq {self._head_seq} and cannot publish seq {head_seq}")
        self._head_seq = head_seq
        self._wake()

    async def wait_beyond(self, seq: int) -> int:
        """Wait until the newest seq is beyond `seq`, and return it.

        A closed bus returns its last seq at once, even if that is not beyond `seq`: check `closed`. Raise UsageError if
        WAITERS_MAX callers are already waiting.
        """
        if self._waiters >= WAITERS_MAX:
            raise UsageError(f"{WAITERS_MAX} callers are already waiting on the bus")
        self._waiters += 1
        try:
            while self._head_seq <= seq and not self.closed:
                await self._moved.wait()
        finally:
            self._waiters -= 1
        return self._head_seq

    async def wait_closed(self) -> None:
        """Wait until the bus is closed."""
        await self._closed.wait()

    def close(self) -> None:
        """Wake all waiters for the last time. Closing twice is harmless."""
        self._closed.set()
        self._wake()

    def _wake(self) -> None:
        if self._waiters:
            self._moved.set()
            self._moved = asyncio.Event()
