"""Bitget's public REST service: contracts, margin tiers, candles, funding, open interest. No key is needed.

Nothing is tried again here: each call raises `ExchangeUnreachable`, `ExchangeBusy` or `ExchangeRefused`. Rows
that are no fact are refused by reason and are not in the result; the others stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from papertape.engine.feeds.bitget.http import BitgetHttp
from papertape.engine.feeds.bitget.responses import (
    ContractList,
    FundingSettlement,
    OpenInterestReading,
    ResponseBody,
    candles_of,
    contracts_of,
    next_settlement_of,
    open_interest_of,
    server_time_of,
    settlements_of,
    tiers_of,
)
from papertape.engine.feeds.bitget.settings import BitgetSettings
from papertape.engine.feeds.candle_row import CandleRow
from papertape.engine.ports.clock import Clock
from papertape.engine.ports.feed import RefusalLog
from papertape.events.errors import ConfigError, ExchangeUnreachable, UsageError
from papertape.events.units import DAY_MS, MINUTE_MS

PRODUCT: Final = "USDT-FUTURES"
MARKET: Final = "/api/v2/mix/market"
GRANULARITIES: Final = {MINUTE_MS: "1m", 5 * MINUTE_MS: "5m", 15 * MINUTE_MS: "15m", 60 * MINUTE_MS: "1H"}
RECENT_MS: Final = 29 * DAY_MS
"""So far back `candles` reaches for certain; the exchange says a month."""
SAID_FAR_MS: Final = 300_000
"""An answer's own time that is further away than this from the time we know says nothing."""
CANDLES_A_CALL_MAX: Final = 50_000
"""A longer range is split by the caller."""
PAGES_A_CALL_MAX: Final = 1_000
"""Four times what the longest range needs where every page is full."""
SETTLEMENTS_A_PAGE: Final = 100
SETTLEMENT_PAGES_MAX: Final = 100
"""90 days settled every hour are 22 pages."""


class CandleEndpoint(Struct, frozen=True):
    """A way to past candles: its path and how many a request brings."""

    path: str
    rows_max: int

    def span_ms(self, timeframe_ms: int) -> int:
        """What one request covers for certain: one bar on each side is asked for in excess."""
        return (self.rows_max - 2) * timeframe_ms


class _CandleRequest(Struct):
    """What one call asks for, by which ways (the history last), and what it has found so far, by open time."""

    symbol: str
    step_ms: int
    ways: tuple[CandleEndpoint, ...]
    first_ms: int = 0
    found: dict[int, CandleRow] = {}


RECENT: Final = CandleEndpoint(f"{MARKET}/candles", 1_000)
HISTORY: Final = CandleEndpoint(f"{MARKET}/history-candles", 200)
MARK: Final = CandleEndpoint(f"{MARKET}/history-mark-candles", 200)


class BitgetRest:
    """The REST service of one market. All its requests share one pace, whoever makes them."""

    def __init__(self, settings: BitgetSettings, clock: Clock, refusals: RefusalLog) -> None:
        """Raises ConfigError for a timeframe that is not served. Nothing is connected yet."""
        if settings.timeframe_ms not in GRANULARITIES:
            raise ConfigError(f"timeframe {settings.timeframe_ms} ms: there are {' '.join(GRANULARITIES.values())}")
        self._timeframe_ms = settings.timeframe_ms
        self._clock = clock
        self._http = BitgetHttp(settings, clock, refusals)
        self._offset_ms: int | None = None

    @property
    def offset_ms(self) -> int:
        """The server's clock minus ours, as last learned by `server_time_ms`; 0 before."""
        return self._offset_ms or 0

    def server_now_ms(self) -> int:
        """What the server's clock shows now, as far as it is known, UTC ms."""
        return self._clock.now_ms() + self.offset_ms

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.close()

    async def server_time_ms(self) -> int:
        """Ask for the server's time and learn its offset, the half of the round trip added; UTC ms."""
        body = await self._http.fetch("/api/v2/public/time")
        self._offset_ms = server_time_of(body) - (body.sent_ms + body.received_ms) // 2
        return self.server_now_ms()

    async def contracts(self) -> ContractList:
        """Return all USDT-margined perpetuals by symbol, with unreadable ones kept apart."""
        return contracts_of(await self._http.fetch(f"{MARKET}/contracts", productType=PRODUCT))

    async def tiers(self, symbol: str) -> tuple[tuple[float, float], ...]:
        """(lowest notional in USDT, maintenance margin as a fraction) of every tier, rising."""
        return tiers_of(await self._of_symbol("query-position-lever", symbol), symbol)

    async def candles(
        self, symbol: str, from_ms: int, until_ms: int, timeframe_ms: int | None = None
    ) -> list[CandleRow]:
        """The closed candles with from <= open time < until, rising. What the exchange does not have is a hole.

        The timeframe is that of the settings unless another one is named. Raises UsageError for a range of more
        than `CANDLES_A_CALL_MAX`.
        """
        wanted = _CandleRequest(symbol, timeframe_ms or self._timeframe_ms, (RECENT, HISTORY))
        return await self._range(wanted, from_ms, until_ms)

    async def mark_candles(
        self, symbol: str, from_ms: int, until_ms: int, timeframe_ms: int | None = None
    ) -> list[CandleRow]:
        """The same of the mark price; the volume means nothing."""
        return await self._range(_CandleRequest(symbol, timeframe_ms or self._timeframe_ms, (MARK,)), from_ms, until_ms)

    async def settlements(self, symbol: str, from_ms: int) -> list[FundingSettlement]:
        """The settlements from `from_ms` on that the exchange still has (about 90 days), rising."""
        found: dict[int, FundingSettlement] = {}
        for page in range(1, SETTLEMENT_PAGES_MAX + 1):
            body = await self._of_symbol("history-fund-rate", symbol, pageSize=SETTLEMENTS_A_PAGE, pageNo=page)
            rows, count = settlements_of(body, symbol)
            known = len(found)
            # A settlement between two pages moves the last row of one to the next: it comes twice.
            found = rows | found
            if count < SETTLEMENTS_A_PAGE or len(found) == known or min(found) < from_ms:
                return [found[time_ms] for time_ms in sorted(found) if time_ms >= from_ms]
        raise ExchangeUnreachable(f"history-fund-rate {symbol}: no end after {SETTLEMENT_PAGES_MAX} pages")

    async def next_settlement_ms(self, symbol: str) -> int:
        """When funding is settled next, UTC ms."""
        return next_settlement_of(await self._of_symbol("current-fund-rate", symbol), symbol)

    async def open_interest(self, symbol: str) -> OpenInterestReading:
        """The open interest now, in coins."""
        return open_interest_of(await self._of_symbol("open-interest", symbol), symbol)

    async def _of_symbol(self, name: str, symbol: str, **params: str | int) -> ResponseBody:
        return await self._http.fetch(f"{MARKET}/{name}", symbol=symbol, productType=PRODUCT, **params)

    async def _range(self, wanted: _CandleRequest, from_ms: int, until_ms: int) -> list[CandleRow]:
        """Page backward from the newest closed candle; each page ends where the oldest known candle opens."""
        step_ms = wanted.step_ms
        if self._offset_ms is None:
            await self.server_time_ms()
        now_ms = self.server_now_ms()
        wanted.first_ms = -(-max(0, from_ms) // step_ms) * step_ms
        end_ms = min(-(-until_ms // step_ms), now_ms // step_ms) * step_ms
        if end_ms - wanted.first_ms > CANDLES_A_CALL_MAX * step_ms:
            raise UsageError(f"{wanted.symbol}: more than {CANDLES_A_CALL_MAX} candles in one call; split the range")
        for _ in range(PAGES_A_CALL_MAX):
            if end_ms <= wanted.first_ms:
                return [wanted.found[open_ms] for open_ms in sorted(wanted.found)]
            recent = end_ms - wanted.ways[0].span_ms(step_ms) >= now_ms - RECENT_MS
            end_ms = await self._page(wanted, end_ms, wanted.ways if recent else wanted.ways[-1:])
        raise ExchangeUnreachable(f"candles of {wanted.symbol}: no end after {PAGES_A_CALL_MAX} pages")

    async def _page(self, wanted: _CandleRequest, end_ms: int, ways: Sequence[CandleEndpoint]) -> int:
        """Take the candles of one page; where the next one ends, always earlier than this one.

        `candles` is empty for large windows at times, and reaches less far back than it is said to: where it shows
        nothing the history is asked. An empty page of that is a hole, and the next one ends before it.
        """
        begin_ms = end_ms
        for way in ways:
            begin_ms = max(wanted.first_ms, end_ms - way.span_ms(wanted.step_ms))
            oldest_ms = await self._take(way, wanted, begin_ms, end_ms)
            if oldest_ms is not None:
                return oldest_ms
        return begin_ms

    async def _take(self, way: CandleEndpoint, wanted: _CandleRequest, begin_ms: int, end_ms: int) -> int | None:
        """Ask for a window and take what opens before its end; the oldest open time, None when there was nothing.

        The exchange promises a candle only if it closes at `endTime` or before, and may ignore `startTime`: one bar
        more is asked for on each side, and what lies outside is left out.
        """
        step_ms = wanted.step_ms
        body = await self._http.fetch(
            way.path,
            symbol=wanted.symbol,
            productType=PRODUCT,
            granularity=GRANULARITIES[step_ms],
            startTime=max(0, begin_ms - step_ms),
            endTime=end_ms + step_ms,
            limit=min(way.rows_max, (end_ms - begin_ms) // step_ms + 3),
        )
        # A candle that forms is in some answers; our clock may have been set, the answer's own time was not.
        known = body.said_ms is not None and abs(body.said_ms - self.server_now_ms()) < SAID_FAR_MS
        over_ms = min(end_ms, body.said_ms - step_ms + 1) if known and body.said_ms is not None else end_ms
        older = {open_ms: row for open_ms, row in candles_of(body, step_ms).items() if open_ms < over_ms}
        wanted.found.update((open_ms, row) for open_ms, row in older.items() if open_ms >= wanted.first_ms)
        return min(older, default=None)
