"""A faithful stand-in of Bitget's public USDT-M market: one server with the WebSocket and the REST pages.

`papertape twin bitget` serves it. Its time is a given clock: the real one, a faster one, or virtual time. It shows a
`TwinMarket`; a `BitgetFaultInjector` switches faults on, by hand or by a `FaultScript`. Channels are `ticker` and
`candle...`; bars of 3 days and longer, trades and order books are left out.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from heapq import heappop, heappush
from types import TracebackType
from typing import Final, Self

from papertape.engine.feeds.candle_row import CandleRow
from papertape.engine.ports.clock import Clock
from papertape.events.units import HOUR_MS, MINUTE_MS
from papertape.sandbox.bitget.faults import BitgetFault, BitgetFaultInjector
from papertape.sandbox.bitget.history import MarketHistory
from papertape.sandbox.bitget.limits import ATTEMPTS_MAX, CONNECTIONS_MAX, PING_MS_MAX, BitgetTwinStatistics
from papertape.sandbox.bitget.market import TwinMarket
from papertape.sandbox.bitget.rest import RestApi, RestResponse
from papertape.sandbox.bitget.script import FaultScript
from papertape.sandbox.bitget.socket import Session
from papertape.sandbox.bitget.stream import CLOSE_TICK_MS, TICKER, ChannelPublisher, Key
from papertape.sandbox.bitget.text import envelope, frame_of
from papertape.sandbox.bitget.venue import ExchangeBehaviour, Venue
from papertape.sandbox.bitget.wire import WS_PATH, TwinConnection
from papertape.sandbox.faults import ActiveFault

LATER_MAX: Final = 10_000
WIRES_MAX: Final = 2_000
WAIT_MS_MAX: Final = MINUTE_MS
LISTEN_AGAIN_MS: Final = 250
GIANT_BYTES: Final = 104_857_600
GOING_AWAY: Final = 1_001
BACKLOG: Final = 100


class BitgetTwin:
    """The server. `async with BitgetTwin(market, clock) as twin` serves until the block ends."""

    def __init__(
        self,
        market: TwinMarket,
        clock: Clock,
        *,
        faults: BitgetFaultInjector | None = None,
        script: FaultScript | None = None,
        behaviour: ExchangeBehaviour | None = None,
        update_ms: int = 500,
        ticker_ms: int = 300,
        skew_ms: int = 0,
        estimate_noise: float = 0.0,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.faults = faults or BitgetFaultInjector()
        self._behaviour = behaviour or ExchangeBehaviour(update_ms=update_ms, ticker_ms=ticker_ms)
        self._venue = Venue(MarketHistory(market, estimate_noise), clock, self.faults, self._behaviour, skew_ms)
        self._rest = RestApi(self._venue)
        self._stream = ChannelPublisher(self._venue, self._later)
        self._script = script
        self._host, self._port = host, port
        self._server: asyncio.Server | None = None
        self._ticking: asyncio.Task[None] | None = None
        self._sleep: asyncio.Future[None] | None = None
        self._wires: dict[TwinConnection, None] = {}
        self._followers: dict[Key, dict[Session, None]] = {}
        self._queue: list[tuple[int, int, Key, str]] = []
        self._queued = 0
        self._candles_ms = self._tickers_ms = 0
        self.faults.bind(self._venue.now_ms, self._act)

    # ------------------------------------------------------------ what tests and clients use

    @property
    def ws_url(self) -> str:
        """The address of the WebSocket."""
        return f"ws://{self._host}:{self._port}{WS_PATH}"

    @property
    def rest_url(self) -> str:
        """The base address of the REST pages."""
        return f"http://{self._host}:{self._port}"

    @property
    def statistics(self) -> BitgetTwinStatistics:
        """What was requested, sent and refused so far."""
        return self._venue.statistics

    def now_ms(self) -> int:
        """Return the server's time, with its skew."""
        return self._venue.now_ms()

    def history(self, symbol: str, from_ms: int, until_ms: int) -> list[CandleRow]:
        """Return the true candles that open in from <= time < until."""
        market = self._venue.history.market
        times = range(-(-from_ms // market.step_ms) * market.step_ms, until_ms, market.step_ms)
        return [row for at_ms in times if (row := market.candle(symbol, at_ms)) is not None]

    def settlements(self, symbol: str, from_ms: int, until_ms: int) -> list[tuple[int, float]]:
        """Return the true times and rates of settlements in from <= time < until."""
        return self._venue.history.settlements(symbol, from_ms, until_ms)

    def open_interest(self, symbol: str, at_ms: int) -> float:
        """Return the true open interest at a time."""
        return self._venue.history.market.open_interest(symbol, at_ms)

    async def __aenter__(self) -> Self:
        await self._listen()
        self._ticking = asyncio.create_task(self._tick_forever())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for wire in [*self._wires]:
            wire.abort()
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.wait([self._ticking])
            if not self._ticking.cancelled():
                self._ticking.result()
        # Aborted transports report their end in the next round of the loop.
        await asyncio.sleep(0)

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: TwinConnection(self), self._host, self._port, backlog=BACKLOG)
        self._port = self._server.sockets[0].getsockname()[1]

    # ------------------------------------------------------------ ticks

    async def _tick_forever(self) -> None:
        while True:
            now_ms = self._venue.now_ms()
            self._run_script(now_ms)
            self._send_queued(now_ms)
            self._send_due(now_ms)
            self._cut_overdue(now_ms)
            await self._reopen_port()
            wait_ms = min(WAIT_MS_MAX, self._next_ms(now_ms) - self._venue.now_ms())
            await self._pause(max(1, wait_ms) / 1_000.0)

    async def _pause(self, seconds: float) -> None:
        if self._followers:
            await self._venue.clock.sleep(seconds)
            return
        # Without subscribers the server sleeps long; the first subscription wakes it.
        sleep = self._sleep = asyncio.ensure_future(self._venue.clock.sleep(seconds))
        try:
            await asyncio.wait([sleep])
        finally:
            sleep.cancel()
            self._sleep = None

    def _wake(self) -> None:
        if self._sleep is not None:
            self._sleep.cancel()

    def _next_ms(self, now_ms: int) -> int:
        times = [now_ms + WAIT_MS_MAX]
        if self._followers:
            times += [self._candles_ms, self._tickers_ms]
        if self._server is None:
            times.append(now_ms + LISTEN_AGAIN_MS)
        if self._queue:
            times.append(self._queue[0][0])
        if self._script is not None:
            times.append(self._script.next_ms)
        times += [wire.session.deadline_ms for wire in self._wires if wire.session is not None]
        return min(times)

    def _send_due(self, now_ms: int) -> None:
        if now_ms >= self._candles_ms:
            self._candles_ms = self._next_candles_ms(now_ms)
            for key in [key for key in self._followers if key[0] != TICKER]:
                for message in self._stream.candles(key, now_ms):
                    self._push(key, message)
        if now_ms >= self._tickers_ms:
            self._tickers_ms = (now_ms // self._behaviour.ticker_ms + 1) * self._behaviour.ticker_ms
            for key in [key for key in self._followers if key[0] == TICKER]:
                for message in self._stream.tickers(key, now_ms):
                    self._push(key, message)

    def _next_candles_ms(self, now_ms: int) -> int:
        """Return the time of the next push: on a grid from each minute's start, and once shortly before its end."""
        step_ms = self._venue.history.market.step_ms
        begin_ms, every_ms = now_ms // step_ms * step_ms, self._behaviour.update_ms
        last_ms = begin_ms + step_ms - CLOSE_TICK_MS
        next_ms = begin_ms + ((now_ms - begin_ms) // every_ms + 1) * every_ms
        return begin_ms + step_ms if now_ms >= last_ms else min(next_ms, last_ms)

    def _push(self, key: Key, message: str | bytes) -> None:
        followers = self._followers.get(key)
        if followers:
            frame = frame_of(message)
            for session in [*followers]:
                session.push(key, frame)

    def _later(self, at_ms: int, key: Key, text: str) -> None:
        if len(self._queue) < LATER_MAX:
            self._queued += 1
            heappush(self._queue, (at_ms, self._queued, key, text))

    def _send_queued(self, now_ms: int) -> None:
        while self._queue and self._queue[0][0] <= now_ms:
            _, _, key, text = heappop(self._queue)
            self._push(key, text)

    def _cut_overdue(self, now_ms: int) -> None:
        for wire in [*self._wires]:
            session = wire.session
            if session is not None and session.deadline_ms <= now_ms:
                # A closing connection owes no ping, though the rest of a giant frame may still be under way.
                if now_ms - session.pinged_ms >= PING_MS_MAX and not wire.is_closing:
                    self.statistics.breach(now_ms, "ping", "no ping for two minutes")
                wire.abort()

    def _run_script(self, now_ms: int) -> None:
        if self._script is not None:
            self._script.run(now_ms, self.faults)

    async def _reopen_port(self) -> None:
        refused = self.faults.sees(BitgetFault.REFUSED_CONNECTION) is not None
        if self._server is None and not refused:
            await self._listen()

    # ------------------------------------------------------------ calls of the connections

    def on_connect(self, wire: TwinConnection) -> None:
        """Register a new connection."""
        if len(self._wires) >= WIRES_MAX:
            self.statistics.breach(self._venue.now_ms(), "wires", f"more than {WIRES_MAX} TCP connections")
            wire.abort()
        else:
            self._wires[wire] = None

    def on_disconnect(self, wire: TwinConnection) -> None:
        """Remove a closed connection and its subscriptions."""
        self._wires.pop(wire, None)
        session, wire.session = wire.session, None
        if session is not None:
            self.statistics.connections -= 1
            self._venue.address(wire.ip).sockets -= 1
            for key in [*session.keys]:
                self.leave(session, key)

    def answer(self, target: str, ip: str) -> RestResponse:
        """Return the response to a GET."""
        return self._rest.reply(target, ip)

    def welcome(self, wire: TwinConnection) -> Session | RestResponse:
        """Accept a WebSocket, or refuse it: maintenance, too many attempts, too many connections."""
        now_ms, address = self._venue.now_ms(), self._venue.address(wire.ip)
        self.statistics.attempts += 1
        if self.faults.hits(BitgetFault.MAINTENANCE):
            return RestResponse(503, b"")
        if not address.attempts.allows(now_ms):
            self.statistics.breach(now_ms, "attempts", f"more than {ATTEMPTS_MAX} connections in 5 minutes")
        elif address.sockets >= CONNECTIONS_MAX:
            self.statistics.breach(now_ms, "connections", f"more than {CONNECTIONS_MAX} at once")
        else:
            return self._open_session(wire)
        return (
            RestResponse(429, envelope("429", "Too Many Requests", now_ms))
            if self._behaviour.limits
            else self._open_session(wire)
        )

    def _open_session(self, wire: TwinConnection) -> Session:
        self._venue.address(wire.ip).sockets += 1
        self.statistics.connections += 1
        self.statistics.connected += 1
        return Session(self._venue, self, wire)

    def on_sent(self, byte_count: int) -> None:
        """Count a frame that was sent."""
        self.statistics.frames += 1
        self.statistics.frame_bytes += byte_count

    def on_overflow(self, wire: TwinConnection) -> None:
        """Record a client that does not read."""
        self.statistics.breach(self._venue.now_ms(), "backlog", f"{wire.ip} does not read its data")

    def follow(self, session: Session, key: Key) -> str | None:
        """Subscribe a session to a channel; return the channel's first frame."""
        self._wake()
        session.keys[key] = None
        self._followers.setdefault(key, {})[session] = None
        return self._stream.snapshot(key, self._venue.now_ms())

    def leave(self, session: Session, key: Key) -> None:
        """Unsubscribe a session from a channel."""
        session.keys.pop(key, None)
        followers = self._followers.get(key, {})
        followers.pop(session, None)
        if not followers and key in self._followers:
            del self._followers[key]
            self._stream.forget(key)

    # ------------------------------------------------------------ immediate faults

    def _act(self, active: ActiveFault[BitgetFault]) -> None:
        now_ms = self._venue.now_ms()
        self._wake()
        if active.fault is BitgetFault.SKEW:
            self._venue.skew_ms = int(active.value)
        elif active.fault is BitgetFault.FUNDING_INTERVAL:
            symbols = self._venue.history.market.symbols if active.target is None else (active.target,)
            for symbol in symbols:
                self._venue.history.change_interval(symbol, now_ms, int(active.value) * HOUR_MS)
        elif active.fault is BitgetFault.REFUSED_CONNECTION:
            if self._server is not None:
                self._server.close()
            self._server = None
        else:
            self._apply_to_connections(active)
            return
        self.faults.count(active.fault)

    def _apply_to_connections(self, active: ActiveFault[BitgetFault]) -> None:
        open_wires = [wire for wire in self._wires if wire.session is not None and not wire.session.silent]
        for wire in open_wires[: active.times]:
            self.faults.count(active.fault)
            _end(wire, active)

    def count_followers(self) -> Counter[str]:
        """Return the number of subscribers of each channel, by its name and symbol."""
        return Counter(
            {f"{channel}:{symbol}": len(sessions) for (channel, symbol), sessions in self._followers.items()}
        )


def _end(wire: TwinConnection, active: ActiveFault[BitgetFault]) -> None:
    session = wire.session
    assert session is not None
    if active.fault in (BitgetFault.CLOSE, BitgetFault.MAINTENANCE):
        wire.close(int(active.value) if active.fault is BitgetFault.CLOSE and active.value is not None else GOING_AWAY)
    elif active.fault is BitgetFault.RESET:
        wire.reset()
    elif active.fault is BitgetFault.SILENT:
        session.silent = True
    elif active.fault is BitgetFault.STALLED:
        session.stalled = True
    elif active.fault is BitgetFault.GIANT:
        wire.send_giant(GIANT_BYTES if active.value is None else int(active.value))
    else:
        wire.abort()
