"""Any exchange of ccxt as a download source (extra `exchanges`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from difflib import get_close_matches
from typing import Any, Final, TypeVar

from papertape.engine.feeds.candle_row import find_implausible
from papertape.engine.feeds.ccxt.library import (
    answer,
    close_exchange,
    exchange_class,
    numbers_of,
    open_exchange,
    settlement_of,
)
from papertape.engine.feeds.ccxt.markets import Market, read_markets
from papertape.engine.feeds.ccxt.pages import ROWS_A_PAGE, SETTLEMENTS_A_PAGE, fetch_filled
from papertape.engine.feeds.download.download import WINDOW_ROWS
from papertape.engine.feeds.download.partial_file import DownloadKind, DownloadRequest, Row
from papertape.engine.ports.clock import Clock
from papertape.engine.ports.feed import RefusalLog, RefusalReason
from papertape.events.errors import UsageError
from papertape.events.units import DAY_MS, TIMEFRAME_NAMES

FUNDING_WINDOW_MS: Final = 90 * DAY_MS
ANSWER_WALL_S_MAX: Final = 60.0

T = TypeVar("T")


class CcxtSource:
    """The history of one exchange's linear USDT perpetuals. `rest_url` replaces the exchange's own addresses."""

    def __init__(self, name: str, clock: Clock, rest_url: str | None = None) -> None:
        """Raise UsageError if ccxt is not installed or does not know the exchange."""
        self.name = name
        self.refusals = RefusalLog()
        self._clock = clock
        self._exchange = open_exchange(exchange_class(name, "--exchange", "ccxt.async_support"), rest_url or "", "")
        self._markets: dict[str, Market] = {}
        self._offset_ms = 0

    async def close(self) -> None:
        """Close the connections."""
        await close_exchange(self._exchange)

    async def now_ms(self) -> int:
        """Return the exchange's time, UTC ms; ours if it publishes none."""
        if self._exchange.has.get("fetchTime"):
            self._offset_ms = int(await self._call(self._exchange.fetch_time)) - self._clock.now_ms()
        return self._clock.now_ms() + self._offset_ms

    async def rows(self, request: DownloadRequest, from_ms: int, until_ms: int) -> list[Row]:
        """Return the closed rows with from <= time < until, rising."""
        symbol = await self._symbol(request.symbol)
        now_ms = self._clock.now_ms() + self._offset_ms
        closed_ms = min(until_ms, now_ms // request.step_ms * request.step_ms)

        async def fetch_page(begin_ms: int, end_ms: int) -> list[Row]:
            if request.kind is DownloadKind.FUNDING:
                return await self._settlements(symbol, begin_ms, end_ms)
            return await self._candles(request, symbol, begin_ms, end_ms)

        return await fetch_filled(fetch_page, lambda row: row[0], from_ms, closed_ms, request.step_ms)

    async def find_next_rows(self, request: DownloadRequest, from_ms: int, until_ms: int) -> tuple[bool, int]:  # noqa: ARG002
        """Report that rows may follow: ccxt cannot search, so the next window has to show it."""
        return True, from_ms

    def window_ms(self, request: DownloadRequest) -> int:
        """Return how much is downloaded and written at once."""
        return FUNDING_WINDOW_MS if request.kind is DownloadKind.FUNDING else WINDOW_ROWS * request.timeframe_ms

    def history_limit(self, kind: DownloadKind) -> str:  # noqa: ARG002
        """Return nothing: ccxt does not know it."""
        return ""

    async def _symbol(self, name: str) -> str:
        """Return a perpetual's name in ccxt: BTC/USDT:USDT for BTCUSDT. Raise UsageError if there is none."""
        if not self._markets:
            self._markets = read_markets(self.name, await self._call(self._load)).by_symbol
        if name not in self._markets:
            near = get_close_matches(name, self._markets, n=3)
            meant = f"; did you mean {', '.join(near)}?" if near else ""
            raise UsageError(f"--symbol {name}: no linear USDT perpetual of {self.name}{meant}")
        return self._markets[name].name

    async def _load(self) -> list[Any]:
        return list((await self._exchange.load_markets()).values())

    async def _candles(self, request: DownloadRequest, symbol: str, begin_ms: int, end_ms: int) -> list[Row]:
        """Return one page of candles."""
        name, exchange = TIMEFRAME_NAMES[request.timeframe_ms], self._exchange
        if name not in exchange.timeframes:
            raise UsageError(f"--timeframe {name}: {self.name} has {', '.join(exchange.timeframes)}")
        of_mark = request.kind is DownloadKind.MARK
        if of_mark and not exchange.has.get("fetchMarkOHLCV"):
            raise UsageError(f"--kind mark: {self.name} has no candles of the mark price")
        limit = exchange.feature_value(symbol, "fetchOHLCV", "limit", ROWS_A_PAGE) or ROWS_A_PAGE
        params = {"until": end_ms, **({"price": "mark"} if of_mark else {})}
        count = min(limit, (end_ms - begin_ms) // request.step_ms)
        lines = await self._call(lambda: exchange.fetch_ohlcv(symbol, name, begin_ms, count, params))
        return self._valid((_candle(line, request) for line in lines), lines, f"fetch_ohlcv {symbol}")

    async def _settlements(self, symbol: str, begin_ms: int, end_ms: int) -> list[Row]:
        """Return one page of settlements, their times truncated to the minute."""
        exchange, params = self._exchange, {"until": end_ms}
        lines = await self._call(
            lambda: exchange.fetch_funding_rate_history(symbol, begin_ms, SETTLEMENTS_A_PAGE, params)
        )
        return self._valid(map(_settlement, lines), lines, f"fetch_funding_rate_history {symbol}")

    def _valid(self, rows: Iterable[Row | RefusalReason], lines: list[Any], source: str) -> list[Row]:
        """Return the valid rows and refuse the others."""
        valid: list[Row] = []
        for line, row in enumerate(rows):
            if isinstance(row, RefusalReason):
                self.refusals.refuse(source, line, row, str(lines[line]))
            else:
                valid.append(row)
        return valid

    async def _call(self, call: Callable[[], Awaitable[T]]) -> T:
        return await answer(self._exchange, call, ANSWER_WALL_S_MAX)


def _candle(line: Any, request: DownloadRequest) -> Row | RefusalReason:
    count = 5 if request.kind is DownloadKind.MARK else 6
    read = numbers_of(line, count - 1)
    if isinstance(read, RefusalReason):
        return read
    time_ms, values = read
    if time_ms % request.step_ms:
        return RefusalReason.OFF_GRID
    volume = [] if count == 6 else [0.0]
    return find_implausible([*values, *volume]) or (time_ms, tuple(values))


def _settlement(entry: Any) -> Row | RefusalReason:
    read = settlement_of(entry)
    return read if isinstance(read, RefusalReason) else (read.time_ms, (read.rate,))
