"""One ccxt.pro connection: it watches its symbols' candles, and asks every minute when funding is settled next.

ccxt subscribes, keeps the socket alive and decodes. An exception ends the connection; the session then opens another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from papertape.engine.feeds.candle_row import CandleRow
from papertape.engine.feeds.ccxt.capabilities import is_streamed
from papertape.engine.feeds.ccxt.library import answer
from papertape.engine.feeds.live.stream_state import SETTLED_EVERY_MS, CandleFrame, StreamState
from papertape.engine.ports.feed import RefusalReason
from papertape.events.errors import ExchangeError, ExchangeRefused
from papertape.events.units import TIMEFRAME_NAMES

if TYPE_CHECKING:
    from papertape.engine.feeds.ccxt.markets import Market
    from papertape.engine.feeds.ccxt.rest import CcxtRest
    from papertape.engine.feeds.ccxt.settings import CcxtSettings
    from papertape.engine.ports.clock import Clock

CHECK_EVERY_S: Final = 5.0
ANNOUNCEMENTS_EVERY_S: Final = 60.0
CORRECTION_MS_MAX: Final = 1_000
ROWS_TAKEN_MAX: Final = 3
"""A stream shows the forming candle, and corrects the one before it."""
REFUSED_AGAIN_S: Final = 60.0
"""A symbol that the exchange refuses to stream is watched again after this time; its candles are requested."""
WATCH_WALL_S_MAX: Final = 3_600.0
"""A quiet market may send nothing for a long time: what counts is the silence of the whole connection."""


class CcxtConnection:
    """One connection and its symbols. For `served`, `complete` and `heard_s` see the port."""

    def __init__(
        self, symbols: Sequence[str], rest: CcxtRest, settings: CcxtSettings, clock: Clock, state: StreamState
    ) -> None:
        self.symbols = tuple(symbols)
        self.complete = asyncio.Event()
        self.served = False
        self._rest, self._settings, self._clock, self._state = rest, settings, clock, state
        self._unheard = set(self.symbols)
        self._stop_reason = ""
        self.heard_s = self._now_s()

    def _now_s(self) -> float:
        return self._clock.now_ms() / 1_000.0

    def give_up(self, reason: str) -> None:
        """End this connection at the next check."""
        self._stop_reason = reason

    def request_resubscribe(self, symbol: str) -> None:
        """End this connection at the next check: ccxt subscribes all of its symbols again on the next one."""
        self.give_up(f"{symbol} is subscribed again")

    def silent_channels(self) -> list[str]:
        """Return the symbols that have not delivered any data yet."""
        return [symbol for symbol in self.symbols if symbol in self._unheard]

    async def run(self) -> str:
        """Serve until the connection ends, and return why. Raise ExchangeError if it never opens."""
        async with self._rest.stream(self.symbols) as exchange:
            self.heard_s = self._now_s()
            streamed = is_streamed(exchange)
            works = [self._check(is_streamed=streamed), self._announce()]
            works += [self._watch(exchange, symbol) for symbol in self.symbols if streamed]
            tasks = [asyncio.ensure_future(work) for work in works]
            if not streamed:
                self._unheard.clear()
                self._record_heard("")
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                return done.pop().result()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _check(self, *, is_streamed: bool) -> str:
        """Check every few seconds whether the connection is over; return why."""
        while not self._stop_reason:
            silent_s = self._now_s() - self.heard_s
            if is_streamed and silent_s > self._settings.silence_s:
                return f"no data for {silent_s:.0f} s"
            await self._clock.sleep(CHECK_EVERY_S)
        return self._stop_reason

    async def _watch(self, exchange: Any, symbol: str) -> str:
        """Take a symbol's candles until the connection fails; return why."""
        market = await self._rest.market(symbol)
        timeframe = TIMEFRAME_NAMES[self._settings.timeframe_ms]
        while True:
            try:
                lines = await answer(exchange, lambda: exchange.watch_ohlcv(market.name, timeframe), WATCH_WALL_S_MAX)
            except ExchangeRefused:
                await self._clock.sleep(REFUSED_AGAIN_S)
            except ExchangeError as error:
                return str(error)
            else:
                self.take(symbol, market, lines)

    def take(self, symbol: str, market: Market, lines: Any) -> None:
        """Take a symbol's newest candles. ccxt does not say when they were sent; now is at most a moment later."""
        rows: list[CandleRow] = []
        refused: list[tuple[RefusalReason, str]] = []
        for line in lines[-ROWS_TAKEN_MAX:] if isinstance(lines, list) else [lines]:
            row = self._rest.candle(market, line)
            if isinstance(row, CandleRow):
                rows.append(row)
            else:
                refused.append((row, str(line)))
        now_ms, snapshot = self._rest.server_now_ms(), symbol in self._unheard
        # The exchange's time is corrected every minute, by a few milliseconds in either direction.
        at_ms = max(now_ms, min(self._state.symbols[symbol].frame_ms, now_ms + CORRECTION_MS_MAX))
        self._record_heard(symbol)
        self._state.take_candles(CandleFrame(symbol, snapshot, at_ms, rows, refused), now_ms)

    def _record_heard(self, symbol: str) -> None:
        self.heard_s, self.served = self._now_s(), True
        self._unheard.discard(symbol)
        if not self._unheard:
            self.complete.set()

    async def _announce(self) -> str:
        """Ask every minute when funding is settled next. No answer is not an error."""
        while True:
            try:
                settles = await self._rest.next_settlements(self.symbols)
            except ExchangeError:
                settles = {}
            for symbol, next_ms in settles.items():
                if next_ms % SETTLED_EVERY_MS == 0:
                    self._state.announce_settlement(symbol, self._rest.server_now_ms(), next_ms)
            await self._clock.sleep(ANNOUNCEMENTS_EVERY_S)
