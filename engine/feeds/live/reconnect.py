"""A stream that watches its symbols forever: one connection after another, the next before the last ends.

It never gives up: after a fault the next attempt comes soon, after many faults in a row every half minute.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from papertape.events.errors import ExchangeBusy, ExchangeError

if TYPE_CHECKING:
    from papertape.engine.feeds.live.exchange import Connection, ExchangeClient, LiveSettings
    from papertape.engine.feeds.live.stream_state import StreamState
    from papertape.engine.feeds.rate_limit import RateLimiter
    from papertape.engine.ports.clock import Clock

BACKOFF_S: Final = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
JITTER_FRACTION: Final = 0.25
HANDOVER_S_MAX: Final = 60.0
CONNECTIONS_PER_S: Final = 0.9
"""The exchange allows 300 attempts in 5 minutes from one address."""


class StreamStatistics(Struct, frozen=True):
    """How often the stream connected, broke, and was rotated on purpose."""

    connections: int
    breaks: int
    rotations: int


class ReconnectingStream:
    """Keeps some symbols watched, forever."""

    def __init__(
        self,
        symbols: Sequence[str],
        client: ExchangeClient,
        settings: LiveSettings,
        clock: Clock,
        stream_state: StreamState,
        rate_limiter: RateLimiter,
    ) -> None:
        self.symbols = tuple(symbols)
        self._client = client
        self._settings = settings
        self._clock = clock
        self._stream_state = stream_state
        self._rate_limiter = rate_limiter
        self._chance = Random()  # noqa: S311 - jitter is no secret.
        self._connections = self._breaks = self._rotations = 0
        self._failures = 0
        self.connection: Connection | None = None

    @property
    def statistics(self) -> StreamStatistics:
        """The counts since the start."""
        return StreamStatistics(self._connections, self._breaks, self._rotations)

    async def run(self) -> None:
        """Keep one connection alive, forever."""
        running: asyncio.Task[str] | None = None
        try:
            while True:
                await self._wait_for_turn()
                connection = self._client.connection(self.symbols, self._stream_state)
                fresh = asyncio.ensure_future(connection.run())
                if running is not None and not await self._takes_over(running, connection, fresh):
                    self._failures += 1
                    await self._clock.sleep(backoff_s(self._failures, self._chance))
                    continue
                running, self.connection = fresh, connection
                self._connections += 1
                if not await self._ends_within_rotation(fresh):
                    self._rotations += 1
                    continue
                running = None
                self._record_break(fresh)
                await self._clock.sleep(backoff_s(self._failures, self._chance))
        finally:
            if running is not None:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    async def _wait_for_turn(self) -> None:
        """Wait until this stream may connect: all streams together stay below the exchange's limit."""
        try:
            await self._rate_limiter.acquire()
        except ExchangeBusy:
            await self._clock.sleep(BACKOFF_S[-1])

    async def _takes_over(self, before: asyncio.Task[str], connection: Connection, fresh: asyncio.Task[str]) -> bool:
        """Return whether the new connection replaces the old one, and end the other one.

        It does when it shows everything, when it shows anything after a minute, or when the old one has ended.
        """
        complete = asyncio.ensure_future(connection.complete.wait())
        ending = {complete, fresh}
        try:
            limit_s = HANDOVER_S_MAX / self._settings.speed
            await asyncio.wait({complete, fresh, before}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            if before.done():
                self._record_break(before)
                ending = {complete}
            elif connection.served and not fresh.done():
                ending = {complete, before}
        finally:
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)
        return fresh not in ending

    async def _ends_within_rotation(self, fresh: asyncio.Task[str]) -> bool:
        """Wait until the connection ends by itself; return False when it is time to replace it."""
        ended, _ = await asyncio.wait({fresh}, timeout=self._settings.rotate_s / self._settings.speed)
        return bool(ended)

    def _record_break(self, ended: asyncio.Task[str]) -> None:
        """Record that the connection ended and its forming candles are incomplete. Raise the error of a bug."""
        with suppress(ExchangeError):
            ended.result()
        self._stream_state.mark_interrupted(self.symbols)
        self._breaks += 1
        served = self.connection is not None and self.connection.served
        self._failures = 0 if served else self._failures + 1
        self.connection = None


def backoff_s(attempt: int, chance: Random) -> float:
    """Return the seconds to wait before another attempt: longer after each in a row, at least one, never equal."""
    return BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)] * (1.0 + JITTER_FRACTION * chance.random())
