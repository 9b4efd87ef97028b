"""A line is a part of the symbols that is always watched: one stream after another, the next before the last ends.

Nobody gives up: after a fault the next connection comes soon, after many faults in a row every half minute.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from papertape.engine.feeds.bitget.connection import StreamConnection
from papertape.events.errors import ExchangeBusy, ExchangeUnreachable

if TYPE_CHECKING:
    from papertape.engine.feeds.bitget.settings import BitgetSettings
    from papertape.engine.feeds.bitget.stream_state import StreamState
    from papertape.engine.feeds.rate_limit import RateLimiter
    from papertape.engine.ports.clock import Clock

BACKOFF_S: Final = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
JITTER_FRACTION: Final = 0.25
HANDOVER_S_MAX: Final = 60.0
CONNECTIONS_PER_S: Final = 0.9
"""The exchange takes 300 attempts in 5 minutes from one address."""


class StreamStatistics(Struct, frozen=True):
    """How often the line connected, was broken, and was rotated on purpose; and what broke it last."""

    connections: int
    breaks: int
    rotations: int
    last_fault: str


class ReconnectingStream:
    """Keeps a part of the symbols watched, for ever. `connected` says whether data comes now."""

    def __init__(
        self,
        symbols: Sequence[str],
        settings: BitgetSettings,
        clock: Clock,
        board: StreamState,
        pacer: RateLimiter,
        make_stream: Callable[[Sequence[str]], StreamConnection],
    ) -> None:
        self.symbols = tuple(symbols)
        self._settings = settings
        self._clock = clock
        self._board = board
        self._pacer = pacer
        self._make_stream = make_stream
        self._chance = Random()  # noqa: S311 - jitter is no secret.
        self._connections = self._breaks = self._rotations = 0
        self._failures = 0
        self.last_fault = ""
        self.stream: StreamConnection | None = None

    @property
    def statistics(self) -> StreamStatistics:
        """What was done since the start."""
        return StreamStatistics(self._connections, self._breaks, self._rotations, self.last_fault)

    @property
    def connected(self) -> bool:
        """Whether the stream of now has brought data."""
        return self.stream is not None and self.stream.served

    async def run(self) -> None:
        """Keep one stream alive, for ever."""
        running: asyncio.Task[str] | None = None
        try:
            while True:
                await self._turn()
                stream = self._make_stream(self.symbols)
                fresh = asyncio.ensure_future(stream.run())
                if running is not None and not await self._takes_over(running, stream, fresh):
                    self._failures += 1
                    await self._clock.sleep(self._pause_s())
                    continue
                running, self.stream = fresh, stream
                self._connections += 1
                if not await self._over(fresh):
                    self._rotations += 1
                    continue
                running = None
                self._broken(fresh)
                await self._clock.sleep(self._pause_s())
        finally:
            if running is not None:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    async def _turn(self) -> None:
        """Wait for a turn to connect: all lines together stay below the exchange's limit."""
        try:
            await self._pacer.acquire()
        except ExchangeBusy:
            await self._clock.sleep(BACKOFF_S[-1])

    async def _takes_over(self, before: asyncio.Task[str], stream: StreamConnection, fresh: asyncio.Task[str]) -> bool:
        """Let the old stream go when the new one shows everything, or data when a minute is over; else keep it."""
        whole = asyncio.ensure_future(stream.whole.wait())
        done = {whole, fresh}
        try:
            limit_s = HANDOVER_S_MAX / self._settings.speed
            await asyncio.wait({whole, fresh, before}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            if before.done():
                self._broken(before)
                done = {whole}
            elif stream.served and not fresh.done():
                done = {whole, before}
        finally:
            for task in done:
                task.cancel()
            await asyncio.gather(*done, return_exceptions=True)
        return fresh not in done

    async def _over(self, fresh: asyncio.Task[str]) -> bool:
        """Wait until the stream ends by itself; False when its time is up and the next one is to take over."""
        done, _ = await asyncio.wait({fresh}, timeout=self._settings.rotate_s / self._settings.speed)
        return bool(done)

    def _broken(self, ended: asyncio.Task[str]) -> None:
        """Remember why, and that what forms now is not watched whole."""
        try:
            self.last_fault = ended.result()
        except ExchangeUnreachable as unreachable:
            self.last_fault = str(unreachable)
        self._board.mark_interrupted(self.symbols)
        self._breaks += 1
        self._failures = 0 if self.connected else self._failures + 1
        self.stream = None

    def _pause_s(self) -> float:
        """Longer after every failure in a row, never below a second, never equal."""
        pause_s = BACKOFF_S[min(self._failures, len(BACKOFF_S) - 1)]
        return pause_s * (1.0 + JITTER_FRACTION * self._chance.random())
