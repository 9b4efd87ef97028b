"""Any exchange of ccxt as a download source (extra `exchanges`).

Exchanges treat a window differently: some return its oldest rows, some its newest, some fewer than requested. What an
answer leaves open on either side is therefore requested again, until nothing more comes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from difflib import get_close_matches
from importlib import import_module
from math import isfinite
from types import ModuleType
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit, urlunsplit

from papertape.engine.feeds.candle_row import TIME_MS_MAX, find_implausible
from papertape.engine.feeds.download.download import WINDOW_ROWS
from papertape.engine.feeds.download.partial_file import DownloadKind, DownloadRequest, Row
from papertape.engine.ports.clock import Clock
from papertape.engine.ports.feed import RefusalLog, RefusalReason
from papertape.events.errors import ExchangeBusy, ExchangeError, ExchangeRefused, ExchangeUnreachable, UsageError
from papertape.events.units import DAY_MS, MINUTE_MS, TIMEFRAME_NAMES

ROWS_A_PAGE: Final = 500
"""The page size of an exchange whose own ccxt does not know."""
SETTLEMENTS_A_PAGE: Final = 100
REQUESTS_MAX: Final = 2_000
"""The most requests for one window; each but the last of a span brings rows."""
WORDS_CHARS_MAX: Final = 200
FUNDING_WINDOW_MS: Final = 90 * DAY_MS

T = TypeVar("T")


class CcxtSource:
    """The history of one exchange's linear USDT perpetuals. `rest_url` replaces the exchange's own addresses."""

    def __init__(self, name: str, clock: Clock, rest_url: str | None = None) -> None:
        """Raise UsageError if ccxt is not installed or does not know the exchange."""
        self._ccxt = _library()
        if name not in self._ccxt.exchanges:
            near = get_close_matches(name, self._ccxt.exchanges, n=3)
            meant = f"; did you mean {', '.join(near)}?" if near else ""
            raise UsageError(f"--exchange {name}: ccxt does not know it{meant}")
        self.name = name
        self.refusals = RefusalLog()
        self._clock = clock
        self._exchange = getattr(self._ccxt, name)({"enableRateLimit": True, "aiohttp_trust_env": True})
        if rest_url is not None:
            self._exchange.urls["api"] = replace_base_url(self._exchange.urls["api"], rest_url)
        self._symbols: dict[str, str] = {}
        self._offset_ms = 0

    async def close(self) -> None:
        """Close the connections."""
        await self._exchange.close()

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

        return await fetch_filled(fetch_page, from_ms, closed_ms, request.step_ms)

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
        if not self._symbols:
            markets = await self._call(self._exchange.load_markets)
            linear = [one for one in markets.values() if one["swap"] and one["linear"] and one["settle"] == "USDT"]
            self._symbols = {f"{one['base']}{one['quote']}": one["symbol"] for one in linear}
        if name not in self._symbols:
            near = get_close_matches(name, self._symbols, n=3)
            meant = f"; did you mean {', '.join(near)}?" if near else ""
            raise UsageError(f"--symbol {name}: no linear USDT perpetual of {self.name}{meant}")
        return self._symbols[name]

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
        """Return what ccxt answers; translate its errors into ours."""
        ccxt = self._ccxt
        try:
            return await call()
        except (ccxt.RateLimitExceeded, ccxt.DDoSProtection) as error:
            raise ExchangeBusy(self._error_text(error)) from error
        except ccxt.NetworkError as error:
            raise ExchangeUnreachable(self._error_text(error)) from error
        except ccxt.BaseError as error:
            raise ExchangeRefused(self._error_text(error), type(error).__name__) from error

    def _error_text(self, error: BaseException) -> str:
        text = " ".join(str(error).split())[:WORDS_CHARS_MAX]
        return f"{self.name}: {text or type(error).__name__}"


async def fetch_filled(
    fetch: Callable[[int, int], Awaitable[list[Row]]], from_ms: int, until_ms: int, step_ms: int
) -> list[Row]:
    """Return the rows of a window; request again wherever an answer leaves room for rows on a side."""
    rows: dict[int, Row] = {}
    spans = [(from_ms, until_ms)]
    for _ in range(REQUESTS_MAX):
        if not spans:
            return [rows[time_ms] for time_ms in sorted(rows)]
        begin_ms, end_ms = spans.pop()
        inside = {row[0]: row for row in await fetch(begin_ms, end_ms) if begin_ms <= row[0] < end_ms}
        if inside:
            rows |= inside
            oldest_ms, newest_ms = min(inside), max(inside)
            if oldest_ms - begin_ms >= step_ms:
                spans.append((begin_ms, oldest_ms))
            if end_ms - newest_ms > step_ms:
                spans.append((newest_ms + step_ms, end_ms))
    raise ExchangeError(f"no end after {REQUESTS_MAX} requests for one window")


def replace_base_url(urls: Any, rest_url: str) -> Any:
    """Return the same tree of addresses on another host; paths stay."""
    if isinstance(urls, dict):
        return {name: replace_base_url(one, rest_url) for name, one in urls.items()}
    if not isinstance(urls, str):
        return urls
    place, old = urlsplit(rest_url), urlsplit(urls)
    return urlunsplit((place.scheme, place.netloc, place.path.rstrip("/") + old.path, old.query, ""))


def _library() -> ModuleType:
    try:
        return import_module("ccxt.async_support")
    except ImportError:
        raise UsageError("--exchange: anything but bitget needs ccxt: pip install 'papertape[exchanges]'") from None


def _candle(line: Any, request: DownloadRequest) -> Row | RefusalReason:
    count = 5 if request.kind is DownloadKind.MARK else 6
    if not isinstance(line, list | tuple) or len(line) < count:
        return RefusalReason.WRONG_SHAPE
    time_ms, values = line[0], list(line[1:count])
    if reason := _unusable(time_ms, values):
        return reason
    if time_ms % request.step_ms:
        return RefusalReason.OFF_GRID
    volume = [] if count == 6 else [0.0]
    return find_implausible([*values, *volume]) or (time_ms, tuple(map(float, values)))


def _settlement(entry: Any) -> Row | RefusalReason:
    if not isinstance(entry, dict):
        return RefusalReason.WRONG_SHAPE
    time_ms, rate = entry.get("timestamp", -1), entry.get("fundingRate", "")
    return _unusable(time_ms, [rate]) or (time_ms // MINUTE_MS * MINUTE_MS, (float(rate),))


def _unusable(time_ms: Any, values: list[Any]) -> RefusalReason | None:
    if not isinstance(time_ms, int) or not all(isinstance(value, int | float) for value in values):
        return RefusalReason.WRONG_SHAPE
    if not all(map(isfinite, values)):
        return RefusalReason.NOT_FINITE
    return None if 0 <= time_ms <= TIME_MS_MAX else RefusalReason.TIME_OUT_OF_RANGE
