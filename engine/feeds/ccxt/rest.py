"""The public requests to one exchange, through ccxt. No keys are used, and nothing is retried here.

Candles and open interest are converted from contracts into coins where an exchange counts in contracts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, TypeVar

from papertape.engine.feeds.candle_row import CandleRow, find_implausible
from papertape.engine.feeds.ccxt.capabilities import has_open_interest, has_tiers, lacks
from papertape.engine.feeds.ccxt.library import answer, close_exchange, numbers_of, open_exchange, settlement_of
from papertape.engine.feeds.ccxt.markets import UNITS, Market, Markets, assumed_tiers, read_markets, read_tiers
from papertape.engine.feeds.ccxt.pages import ROWS_A_PAGE, SETTLEMENTS_A_PAGE, fetch_filled
from papertape.engine.feeds.ccxt.settings import CcxtSettings
from papertape.engine.feeds.live.exchange import (
    ContractList,
    FundingSettlement,
    OpenInterestReading,
    OpenInterestSource,
)
from papertape.engine.feeds.rate_limit import RateLimiter
from papertape.engine.ports.clock import Clock
from papertape.engine.ports.feed import RefusalLog, RefusalReason
from papertape.events.errors import ExchangeBusy, ExchangeRefused, ExchangeUnreachable
from papertape.events.units import HOUR_MS, TIMEFRAME_NAMES

T = TypeVar("T")
LIMIT_WALL_S_MIN: Final = 2.0


class CcxtRest:
    """The public services of one exchange. `kind` is its class in ccxt."""

    section = "feed.ccxt"

    def __init__(self, kind: type[Any], settings: CcxtSettings, clock: Clock, refusals: RefusalLog) -> None:
        self._kind, self._settings, self._clock, self._refusals = kind, settings, clock, refusals
        self._exchange = self._open()
        self.name: str = self._exchange.id
        self.address = settings.rest_url or f"{self.name} through ccxt"
        self.product = "linear perpetual"
        self.limits = f"at most {settings.requests_per_s:g} REST requests per second, and those of ccxt"
        self.lacks: Sequence[str] = lacks(self._exchange)
        self.open_interest_source = (
            OpenInterestSource.REQUESTED if has_open_interest(self._exchange) else OpenInterestSource.NONE
        )
        self._limiter = RateLimiter(settings.requests_per_s, clock)
        self._markets = Markets({}, ContractList({}, {}), {}, "")
        self._ahead_ms = clock.now_ms() - clock.steady_ms()
        self.offset_ms = 0

    def _open(self) -> Any:
        exchange = open_exchange(self._kind, self._settings.rest_url, self._settings.ws_url)
        exchange.timeout = int(1_000.0 * self._limit_s())
        return exchange

    def _limit_s(self) -> float:
        """Return the longest wait for an answer, in wall seconds."""
        return max(LIMIT_WALL_S_MIN, self._settings.request_timeout_s / self._settings.speed)

    async def close(self) -> None:
        """Close the connections."""
        await close_exchange(self._exchange)

    async def _request(self, call: Callable[[], Awaitable[T]]) -> T:
        """Return the exchange's answer. Raise ExchangeError; after a rate-limit refusal, later requests wait."""
        ticket = await self._limiter.acquire()
        try:
            result = await answer(self._exchange, call, self._limit_s())
        except ExchangeBusy:
            headers = self._exchange.last_response_headers
            retry_after = str((headers if isinstance(headers, dict) else {}).get("Retry-After", ""))
            self._limiter.back_off(ticket, float(retry_after) if retry_after.isdecimal() else 0.0)
            raise
        self._limiter.record_success(ticket)
        return result

    # ------------------------------------------------------------ time and contracts

    def server_now_ms(self) -> int:
        """Return the exchange's time as far as it is known, UTC ms; setting this machine's clock does not change it."""
        return self._clock.steady_ms() + self._ahead_ms

    async def server_time_ms(self) -> int:
        """Request the exchange's time (corrected by half the round trip) and return it, UTC ms."""
        ticket = await self._limiter.acquire()
        sent_ms = self._clock.steady_ms()
        time_ms = await answer(self._exchange, self._exchange.fetch_time, self._limit_s())
        self._limiter.record_success(ticket)
        if type(time_ms) is not int:
            raise ExchangeUnreachable(f"{self.name}: fetch_time answered {time_ms!r}")
        self._ahead_ms = time_ms - (sent_ms + self._clock.steady_ms()) // 2
        self.offset_ms = self.server_now_ms() - self._clock.now_ms()
        return self.server_now_ms()

    async def contracts(self) -> ContractList:
        """Return all linear perpetuals by symbol, with unreadable ones kept apart."""

        async def fetch() -> Any:
            listed = await self._exchange.fetch_markets()
            self._exchange.set_markets(listed)
            return listed

        listed = await self._request(fetch)
        self._markets = read_markets(self.name, listed)
        self.product = f"linear {self._markets.quote} perpetual"
        return self._markets.contracts

    async def tiers(self, symbol: str) -> tuple[tuple[float, float], ...]:
        """Return the published margin tiers, or a single assumed one if none are published."""
        if not has_tiers(self._exchange):
            return assumed_tiers(self._markets.leverage_max.get(symbol))
        name = (await self.market(symbol)).name
        tiers = read_tiers(await self._request(lambda: self._exchange.fetch_market_leverage_tiers(name)))
        if tiers is None:
            raise ExchangeUnreachable(f"{self.name}: the margin tiers of {symbol} are incomplete")
        return tiers

    async def market(self, symbol: str) -> Market:
        """Return the exchange's market for a symbol. Raise ExchangeError."""
        if not self._markets.by_symbol:
            await self.contracts()
        if symbol not in self._markets.by_symbol:
            raise ExchangeRefused(f"{self.name} does not list {symbol}", "BadSymbol")
        return self._markets.by_symbol[symbol]

    # ------------------------------------------------------------ history

    def candle(self, market: Market, line: Any) -> CandleRow | RefusalReason:
        """Read a candle of ccxt, with its volume in coins; return why it is invalid otherwise."""
        read = numbers_of(line, 5)
        if isinstance(read, RefusalReason):
            return read
        open_ms, values = read
        if open_ms % self._settings.timeframe_ms:
            return RefusalReason.OFF_GRID
        if self.name in UNITS and UNITS[self.name].volume_in_contracts:
            values[4] *= market.coins or 0.0
        return find_implausible(values) or CandleRow(open_ms, *values)

    async def candles(self, symbol: str, from_ms: int, until_ms: int) -> list[CandleRow]:
        """Return the closed candles with from <= open time < until, rising. What is missing is a hole."""
        step_ms, market = self._settings.timeframe_ms, await self.market(symbol)
        limit = self._exchange.feature_value(market.name, "fetchOHLCV", "limit", ROWS_A_PAGE) or ROWS_A_PAGE

        async def fetch_page(begin_ms: int, end_ms: int) -> list[CandleRow]:
            # Some exchanges omit the first or last candle of a range, so request one more on each side.
            count, until = min(limit, (end_ms - begin_ms) // step_ms + 2), {"until": end_ms + step_ms}
            name, since_ms = TIMEFRAME_NAMES[step_ms], begin_ms - step_ms
            lines = await self._request(lambda: self._exchange.fetch_ohlcv(market.name, name, since_ms, count, until))
            return self._valid(f"fetch_ohlcv {symbol}", lines, lambda line: self.candle(market, line))

        first_ms = -(-max(0, from_ms) // step_ms) * step_ms
        end_ms = min(until_ms, self.server_now_ms() // step_ms * step_ms)
        return await fetch_filled(fetch_page, lambda row: row.open_time_ms, first_ms, end_ms, step_ms)

    async def settlements(self, symbol: str, from_ms: int) -> list[FundingSettlement]:
        """Return the settlements from `from_ms` on that the exchange still has, rising."""
        market, now_ms = await self.market(symbol), self.server_now_ms() + 1

        async def fetch_page(begin_ms: int, end_ms: int) -> list[FundingSettlement]:
            until = {} if end_ms == now_ms else {"until": end_ms}
            fetch = self._exchange.fetch_funding_rate_history
            lines = await self._request(lambda: fetch(market.name, begin_ms, SETTLEMENTS_A_PAGE, until))
            return self._valid(f"fetch_funding_rate_history {symbol}", lines, settlement_of)

        if now_ms - from_ms > SETTLEMENTS_A_PAGE * HOUR_MS:
            return await fetch_filled(fetch_page, lambda one: one.time_ms, from_ms, now_ms, HOUR_MS)
        # At most one an hour: this page holds all of them.
        found = {one.time_ms: one for one in await fetch_page(from_ms, now_ms) if from_ms <= one.time_ms < now_ms}
        return [found[time_ms] for time_ms in sorted(found)]

    async def open_interest(self, symbol: str) -> OpenInterestReading:
        """Return the current open interest, in coins."""
        market = await self.market(symbol)
        entry = await self._request(lambda: self._exchange.fetch_open_interest(market.name))
        read = numbers_of([0, entry.get("openInterestAmount")] if isinstance(entry, dict) else None, 1)
        amount = 0.0 if isinstance(read, RefusalReason) else read[1][0]
        if amount <= 0.0:
            raise ExchangeUnreachable(f"{self.name}: the answer has no open interest of {symbol}")
        in_contracts = self.name in UNITS and UNITS[self.name].open_interest_in_contracts
        return OpenInterestReading(self.server_now_ms(), amount * (market.coins or 0.0) if in_contracts else amount)

    def _valid(self, source: str, lines: Any, read: Callable[[Any], T | RefusalReason]) -> list[T]:
        """Return the valid rows, and refuse the others."""
        valid: list[T] = []
        for line, entry in enumerate(lines if isinstance(lines, list) else [lines]):
            row = read(entry)
            if isinstance(row, RefusalReason):
                self._refusals.refuse(source, line, row, str(entry))
            else:
                valid.append(row)
        return valid

    async def next_settlements(self, symbols: Sequence[str]) -> dict[str, int]:
        """Return when funding is settled next, UTC ms, for the symbols for which the exchange says it."""
        markets = {(await self.market(symbol)).name: symbol for symbol in symbols}
        exchange = self._exchange
        if exchange.has.get("fetchFundingRates"):
            rates = await self._request(lambda: exchange.fetch_funding_rates(list(markets)))
        elif exchange.has.get("fetchFundingRate"):
            rates = {name: await self._request(partial(exchange.fetch_funding_rate, name)) for name in markets}
        else:
            return {}
        now_ms, found = self.server_now_ms(), {}
        for name, rate in rates.items():
            times = (rate.get(key) for key in ("fundingTimestamp", "nextFundingTimestamp"))
            later = [time_ms for time_ms in times if type(time_ms) is int and time_ms > now_ms]
            if name in markets and later:
                found[markets[name]] = min(later)
        return found

    # ------------------------------------------------------------ streams

    @asynccontextmanager
    async def stream(self, symbols: Sequence[str]) -> AsyncIterator[Any]:
        """Open another exchange object that knows these symbols, for one connection; close it at the end."""
        names = [(await self.market(symbol)).name for symbol in symbols]
        exchange = self._open()
        exchange.set_markets([self._exchange.markets[name] for name in names])
        try:
            yield exchange
        finally:
            await close_exchange(exchange)
