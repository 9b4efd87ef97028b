"""Bitget's public REST service: contracts, margin tiers, candles, funding, open interest. No key is needed.

Nothing is retried here: each call raises `ExchangeUnreachable`, `ExchangeBusy` or `ExchangeRefused`. Invalid rows are
refused with a reason and left out of the result; the others stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from papertape.engine.feeds.bitget.http import BitgetHttp
from papertape.engine.feeds.bitget.responses import (
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
from papertape.engine.feeds.live.exchange import ContractList, FundingSettlement, OpenInterestReading
from papertape.engine.ports.clock import Clock
from papertape.engine.ports.feed import RefusalLog
from papertape.events.errors import ConfigError, ExchangeUnreachable, UsageError
from papertape.events.units import DAY_MS, MINUTE_MS

PRODUCT: Final = "USDT-FUTURES"
MARKET: Final = "/api/v2/mix/market"
GRANULARITIES: Final = {MINUTE_MS: "1m", 5 * MINUTE_MS: "5m", 15 * MINUTE_MS: "15m", 60 * MINUTE_MS: "1H"}
RECENT_MS: Final = 29 * DAY_MS
"""How far back `candles` certainly reaches; the exchange says a month."""
ANSWERED_FAR_MS: Final = 300_000
"""An answer whose own time is further away than this from the known time is not believed."""
CANDLES_A_CALL_MAX: Final = 50_000
"""The caller splits a longer range."""
PAGES_A_CALL_MAX: Final = 1_000
"""Four times what the longest range needs if every page is full."""
SETTLEMENTS_A_PAGE: Final = 100
SETTLEMENT_PAGES_MAX: Final = 100
"""90 days with a settlement every hour are 22 pages."""


class CandleEndpoint(Struct, frozen=True):
    """An endpoint for past candles: its path and the most rows of an answer."""

    path: str
    rows_max: int

    def span_ms(self, timeframe_ms: int) -> int:
        """Return what one request certainly covers: one extra bar is requested on each side."""
        return (self.rows_max - 2) * timeframe_ms


class _CandleRequest(Struct):
    """A range of candles, its endpoints (the history last), and the rows so far by open time."""

    symbol: str
    step_ms: int
    endpoints: tuple[CandleEndpoint, ...]
    first_ms: int = 0
    rows: dict[int, CandleRow] = {}


RECENT: Final = CandleEndpoint(f"{MARKET}/candles", 1_000)
HISTORY: Final = CandleEndpoint(f"{MARKET}/history-candles", 200)
MARK: Final = CandleEndpoint(f"{MARKET}/history-mark-candles", 200)


class BitgetRest:
    """The REST service of one market. All its requests share one rate limit."""

    def __init__(self, settings: BitgetSettings, clock: Clock, refusals: RefusalLog) -> None:
        """Raise ConfigError for a timeframe that is not served. Nothing is connected yet."""
        if settings.timeframe_ms not in GRANULARITIES:
            raise ConfigError(f"timeframe {settings.timeframe_ms} ms: available are {' '.join(GRANULARITIES.values())}")
        self._timeframe_ms = settings.timeframe_ms
        self._clock = clock
        self._http = BitgetHttp(settings, clock, refusals)
        self._offset_ms: int | None = None
        self._ahead_ms = clock.now_ms() - clock.steady_ms()

    @property
    def offset_ms(self) -> int:
        """The server's clock minus ours, as of the last `server_time_ms`; 0 before."""
        return self._offset_ms or 0

    def server_now_ms(self) -> int:
        """Return the server's time as far as it is known, UTC ms; it continues when this machine's clock is set."""
        return self._clock.steady_ms() + self._ahead_ms

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def server_time_ms(self) -> int:
        """Request the server's time, update its offset (corrected by half the round trip), and return it, UTC ms."""
        body = await self._http.fetch("/api/v2/public/time")
        self._ahead_ms = server_time_of(body) - (body.sent_ms + body.received_ms) // 2
        now_ms = self.server_now_ms()
        self._offset_ms = now_ms - self._clock.now_ms()
        return now_ms

    async def contracts(self) -> ContractList:
        """Return all USDT-margined perpetuals by symbol, with unreadable ones kept apart."""
        return contracts_of(await self._http.fetch(f"{MARKET}/contracts", productType=PRODUCT))

    async def tiers(self, symbol: str) -> tuple[tuple[float, float], ...]:
        """Return (lowest notional in USDT, maintenance margin as a fraction) of every tier, rising."""
        return tiers_of(await self._fetch_symbol("query-position-lever", symbol), symbol)

    async def candles(
        self, symbol: str, from_ms: int, until_ms: int, timeframe_ms: int | None = None
    ) -> list[CandleRow]:
        """Return the closed candles with from <= open time < until, rising. What the exchange does not have is a hole.

        The timeframe is that of the settings unless another one is named. Raise UsageError for a range of more than
        `CANDLES_A_CALL_MAX` candles.
        """
        request = _CandleRequest(symbol, timeframe_ms or self._timeframe_ms, (RECENT, HISTORY))
        return await self._range(request, from_ms, until_ms)

    async def mark_candles(
        self, symbol: str, from_ms: int, until_ms: int, timeframe_ms: int | None = None
    ) -> list[CandleRow]:
        """Return the candles of the mark price; their volume means nothing."""
        return await self._range(_CandleRequest(symbol, timeframe_ms or self._timeframe_ms, (MARK,)), from_ms, until_ms)

    async def settlements(self, symbol: str, from_ms: int) -> list[FundingSettlement]:
        """Return the settlements from `from_ms` on that the exchange still has (about 90 days), rising."""
        settlements: dict[int, FundingSettlement] = {}
        for page in range(1, SETTLEMENT_PAGES_MAX + 1):
            body = await self._fetch_symbol("history-fund-rate", symbol, pageSize=SETTLEMENTS_A_PAGE, pageNo=page)
            rows, count = settlements_of(body, symbol)
            known = len(settlements)
            # A settlement between two requests moves the last row of one page to the next: it comes twice.
            settlements = rows | settlements
            if count < SETTLEMENTS_A_PAGE or len(settlements) == known or min(settlements) < from_ms:
                return [settlements[time_ms] for time_ms in sorted(settlements) if time_ms >= from_ms]
        raise ExchangeUnreachable(f"history-fund-rate {symbol}: no end after {SETTLEMENT_PAGES_MAX} pages")

    async def next_settlement_ms(self, symbol: str) -> int:
        """Return when funding is settled next, UTC ms."""
        return next_settlement_of(await self._fetch_symbol("current-fund-rate", symbol), symbol)

    async def open_interest(self, symbol: str) -> OpenInterestReading:
        """Return the current open interest, in coins."""
        return open_interest_of(await self._fetch_symbol("open-interest", symbol), symbol)

    async def _fetch_symbol(self, name: str, symbol: str, **params: str | int) -> ResponseBody:
        return await self._http.fetch(f"{MARKET}/{name}", symbol=symbol, productType=PRODUCT, **params)

    async def _range(self, request: _CandleRequest, from_ms: int, until_ms: int) -> list[CandleRow]:
        """Page backward from the newest closed candle; each page ends where the oldest known candle opens."""
        step_ms = request.step_ms
        if self._offset_ms is None:
            await self.server_time_ms()
        now_ms = self.server_now_ms()
        request.first_ms = -(-max(0, from_ms) // step_ms) * step_ms
        end_ms = min(-(-until_ms // step_ms), now_ms // step_ms) * step_ms
        if end_ms - request.first_ms > CANDLES_A_CALL_MAX * step_ms:
            raise UsageError(f"{request.symbol}: more than {CANDLES_A_CALL_MAX} candles in one call; split the range")
        for _ in range(PAGES_A_CALL_MAX):
            if end_ms <= request.first_ms:
                return [request.rows[open_ms] for open_ms in sorted(request.rows)]
            recent = end_ms - request.endpoints[0].span_ms(step_ms) >= now_ms - RECENT_MS
            end_ms = await self._page(request, end_ms, request.endpoints if recent else request.endpoints[-1:])
        raise ExchangeUnreachable(f"candles of {request.symbol}: no end after {PAGES_A_CALL_MAX} pages")

    async def _page(self, request: _CandleRequest, end_ms: int, endpoints: Sequence[CandleEndpoint]) -> int:
        """Take the candles of one page; return where the next page ends, always earlier than this one.

        `candles` is empty for large windows at times, and reaches less far back than documented: where it shows
        nothing, the history is requested. An empty page of that is a hole, and the next page ends before it.
        """
        begin_ms = end_ms
        for endpoint in endpoints:
            begin_ms = max(request.first_ms, end_ms - endpoint.span_ms(request.step_ms))
            oldest_ms = await self._take(endpoint, request, begin_ms, end_ms)
            if oldest_ms is not None:
                return oldest_ms
        return begin_ms

    async def _take(self, endpoint: CandleEndpoint, request: _CandleRequest, begin_ms: int, end_ms: int) -> int | None:
        """Request a window and take what opens before its end; return the oldest open time, None if it is empty.

        The exchange promises a candle only if it closes at `endTime` or before, and may ignore `startTime`: one more
        bar is requested on each side, and what lies outside is left out.
        """
        step_ms = request.step_ms
        body = await self._http.fetch(
            endpoint.path,
            symbol=request.symbol,
            productType=PRODUCT,
            granularity=GRANULARITIES[step_ms],
            startTime=max(0, begin_ms - step_ms),
            endTime=end_ms + step_ms,
            limit=min(endpoint.rows_max, (end_ms - begin_ms) // step_ms + 3),
        )
        # Some answers contain the forming candle. Our clock may have been set; the answer's own time was not.
        known = body.answered_ms is not None and abs(body.answered_ms - self.server_now_ms()) < ANSWERED_FAR_MS
        over_ms = min(end_ms, body.answered_ms - step_ms + 1) if known and body.answered_ms is not None else end_ms
        older = {open_ms: row for open_ms, row in candles_of(body, step_ms).items() if open_ms < over_ms}
        request.rows.update((open_ms, row) for open_ms, row in older.items() if open_ms >= request.first_ms)
        return min(older, default=None)
