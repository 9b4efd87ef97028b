"""The streams of all symbols, a few symbols a connection; other symbols may be watched while they run."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from papertape.engine.feeds.live.reconnect import CONNECTIONS_PER_S, ReconnectingStream
from papertape.engine.feeds.rate_limit import RateLimiter

if TYPE_CHECKING:
    from papertape.engine.feeds.live.exchange import Connection, ExchangeClient, LiveSettings
    from papertape.engine.feeds.live.stream_state import StreamState
    from papertape.engine.ports.clock import Clock


class StreamGroup:
    """Runs a stream for each part of the symbols."""

    def __init__(self, client: ExchangeClient, settings: LiveSettings, clock: Clock, stream_state: StreamState) -> None:
        self._client, self._settings, self._clock, self._stream_state = client, settings, clock, stream_state
        self._limiter = RateLimiter(CONNECTIONS_PER_S, clock)
        self._tasks: dict[ReconnectingStream, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def streams(self) -> tuple[ReconnectingStream, ...]:
        """The running streams."""
        return tuple(self._tasks)

    def connections(self) -> list[Connection]:
        """Return the open connections."""
        return [stream.connection for stream in self._tasks if stream.connection is not None]

    def watch(self, symbols: Sequence[str]) -> None:
        """Start streams for symbols that none of them watches yet."""
        self._stream_state.add(symbols)
        size = self._settings.symbols_a_connection
        for first in range(0, len(symbols), size):
            part = symbols[first : first + size]
            stream = ReconnectingStream(
                part, self._client, self._settings, self._clock, self._stream_state, self._limiter
            )
            self._tasks[stream] = asyncio.ensure_future(stream.run())

    def drop(self, symbols: Collection[str]) -> None:
        """Watch some symbols no longer; a stream that also watches others is replaced by one for these."""
        for stream in [one for one in self._tasks if any(symbol in symbols for symbol in one.symbols)]:
            task = self._tasks.pop(stream)
            task.cancel()
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
            remaining = [symbol for symbol in stream.symbols if symbol not in symbols]
            self._stream_state.mark_interrupted(remaining)
            self.watch(remaining)

    def check(self) -> None:
        """Raise the error of a stream that has ended: streams never end, so that is a bug."""
        for task in self._tasks.values():
            if task.done():
                task.result()

    async def close(self) -> None:
        """Stop all streams."""
        tasks = [*self._tasks.values(), *self._ending]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
