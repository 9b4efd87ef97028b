"""The REST pages: parse a request, check it, and answer with the page as Bitget writes it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from msgspec import Struct

from papertape.engine.feeds.candle_row import CandleRow
from papertape.events.units import DAY_MS
from papertape.sandbox.bitget.faults import BitgetFault
from papertape.sandbox.bitget.history import GRANULARITIES, Candle
from papertape.sandbox.bitget.limits import REQUESTS_A_MINUTE_MAX
from papertape.sandbox.bitget.pages import (
    contract_text,
    fund_rate_text,
    funding_time_text,
    rest_ticker_text,
    settlement_text,
    symbol_price_text,
    tier_texts,
)
from papertape.sandbox.bitget.text import INSTRUMENTS, envelope, rest_row, text_of
from papertape.sandbox.bitget.venue import Venue

PREFIX: Final = "/api/v2/mix/market/"
TIME_PATH: Final = "/api/v2/public/time"
OTHER_PRODUCTS: Final = ("COIN-FUTURES", "USDC-FUTURES", "SUSDT-FUTURES", "SCOIN-FUTURES", "SUSDC-FUTURES")
"""Products that the exchange has and this market has not: their lists are empty."""
SPAN_MS_MAX: Final = 90 * DAY_MS
CANDLES_MAX: Final = 1_000
HISTORY_CANDLES_MAX: Final = 200
CANDLES_DEFAULT: Final = 100
RECENT_DAYS: Final = {"1H": 60, "2H": 120, "4H": 240}
RECENT_DAYS_OF_MINUTES: Final = 30
RECENT_DAYS_OF_LONG_BARS: Final = 360
"""How far back the page `candles` reaches."""
SETTLEMENTS_PAGE_MAX: Final = 100
SETTLEMENTS_PAGE_DEFAULT: Final = 20
HTML_ERROR: Final = b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>cloudflare</body>\r\n</html>\r\n"
BUSY_BODY: Final = '{{"code":"429","msg":"Too Many Requests","requestTime":{0},"data":null}}'


class RestDelivery(StrEnum):
    """How a response reaches the client."""

    WHOLE = "whole"
    CUT = "cut"
    """The header announces the body, half of it comes, then the connection ends."""
    NEVER = "never"
    RESET = "reset"


class RestResponse(Struct, frozen=True):
    """One response."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    delivery: RestDelivery = RestDelivery.WHOLE
    kind: str = "application/json"


class RestError(Exception):
    """A business error: HTTP 400 with a code of its own."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


Query = Mapping[str, str]


class RestApi:
    """All REST pages."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._history = venue.history
        self._pages: dict[str, Callable[[Query], str]] = {
            "contracts": self._contracts,
            "ticker": self._ticker,
            "tickers": self._tickers,
            "candles": self._candles,
            "history-candles": lambda query: self._history_candles(query, None),
            "history-mark-candles": lambda query: self._history_candles(query, self._history.market.mark_candle),
            "symbol-price": self._symbol_price,
            "current-fund-rate": self._current_fund_rate,
            "history-fund-rate": self._history_fund_rate,
            "funding-time": self._funding_time,
            "open-interest": self._open_interest,
            "query-position-lever": self._tiers,
        }

    def reply(self, target: str, ip: str) -> RestResponse:
        """Return the response to a request, with any active fault applied."""
        now_ms, split = self._venue.now_ms(), urlsplit(target)
        name = split.path.removeprefix(PREFIX)
        self._venue.statistics.requests[name if split.path != TIME_PATH else "time"] += 1
        query = dict(parse_qsl(split.query))
        symbol = query.get("symbol")
        left = self._allowance(name, ip, now_ms)
        if left < 0:
            return self._busy(now_ms, ())
        faulty = self._fault_response(name, symbol, now_ms)
        if faulty is not None:
            return faulty
        reply = self._page(split.path, name, query, now_ms, left)
        if self._venue.faults.hits(BitgetFault.CUT_BODY, symbol):
            return RestResponse(reply.status, reply.body, reply.headers, RestDelivery.CUT)
        return reply

    def _allowance(self, name: str, ip: str, now_ms: int) -> int:
        address, statistics = self._venue.address(ip), self._venue.statistics
        page = address.page(name)
        if not address.minute.allows(now_ms):
            statistics.breach(now_ms, "requests_a_minute", f"more than {REQUESTS_A_MINUTE_MAX} a minute")
        elif not page.allows(now_ms):
            statistics.breach(now_ms, "requests_a_second", f"{name}: beyond its limit")
        else:
            return page.remaining
        return -1 if self._venue.behaviour.limits else 0

    def _busy(self, now_ms: int, headers: tuple[tuple[str, str], ...]) -> RestResponse:
        self._venue.statistics.too_many += 1
        return RestResponse(429, BUSY_BODY.format(now_ms).encode(), headers)

    def _fault_response(self, name: str, symbol: str | None, now_ms: int) -> RestResponse | None:
        faults = self._venue.faults
        if not faults.active:
            return None
        if name != "contracts" and faults.hits(BitgetFault.MAINTENANCE):
            return RestResponse(503, envelope("40015", "System is abnormal, please try again later", now_ms))
        if faults.hits(BitgetFault.REST_RESET, symbol):
            return RestResponse(0, b"", delivery=RestDelivery.RESET)
        if faults.hits(BitgetFault.HANGING, symbol):
            return RestResponse(0, b"", delivery=RestDelivery.NEVER)
        if active := faults.hits(BitgetFault.BUSY, symbol):
            return self._busy(now_ms, (("Retry-After", str(active.value)),) if active.value is not None else ())
        if faults.hits(BitgetFault.SERVER_ERROR, symbol):
            return RestResponse(500, envelope("45001", "Unknown error", now_ms))
        if faults.hits(BitgetFault.HTML_OK, symbol):
            return RestResponse(200, HTML_ERROR, kind="text/html")
        if faults.hits(BitgetFault.HTML_BAD_GATEWAY, symbol):
            return RestResponse(502, HTML_ERROR, kind="text/html")
        return None

    def _page(self, path: str, name: str, query: Query, now_ms: int, left: int) -> RestResponse:
        headers = (("x-mbx-used-remain-limit", str(left)),)
        if path == TIME_PATH:
            return RestResponse(200, envelope("00000", "success", now_ms, f'{{"serverTime":"{now_ms}"}}'), headers)
        page = self._pages.get(name)
        if page is None:
            return RestResponse(404, envelope("40404", "Request URL NOT FOUND", now_ms), headers)
        try:
            return RestResponse(200, envelope("00000", "success", now_ms, page(query)), headers)
        except RestError as error:
            return RestResponse(400, envelope(error.code, str(error), now_ms), headers)

    # ------------------------------------------------------------ parameters

    def _product(self, query: Query) -> None:
        product = query.get("productType")
        if product is None:
            raise RestError("400172", "Parameter verification failed productType")
        if product.upper() != INSTRUMENTS:
            raise RestError("40019", "Parameter productType cannot be empty")

    def _symbol(self, query: Query) -> str:
        self._product(query)
        symbol = query.get("symbol", "")
        if not symbol:
            raise RestError("40019", "Parameter symbol cannot be empty")
        if not self._venue.is_known(symbol) or self._venue.faults.hits(BitgetFault.UNKNOWN_SYMBOL, symbol):
            raise RestError("40034", f"Parameter {symbol} does not exist")
        return symbol

    def _symbols(self, query: Query) -> list[str]:
        if query.get("symbol"):
            return [self._symbol(query)]
        self._product(query)
        return [symbol for symbol in self._history.market.symbols if self._venue.is_known(symbol)]

    def _list(self, items: Iterable[str], symbol: str | None) -> str:
        if self._venue.faults.hits(BitgetFault.EMPTY_DATA, symbol):
            return "[]"
        return f"[{','.join(items)}]"

    # ------------------------------------------------------------ candles

    def _candles(self, query: Query) -> str:
        symbol, granularity = self._symbol(query), _granularity(query)
        count, now_ms = _limit(query, CANDLES_MAX), self._venue.now_ms()
        start_ms, end_ms = _span(query)
        from_ms = max(now_ms - _recent_ms(granularity), start_ms if self._venue.behaviour.start_bounds else 0)
        if end_ms is not None:
            return self._rows(symbol, self._history.bars(symbol, granularity, min(end_ms, now_ms), count, from_ms))
        rows = self._history.bars(symbol, granularity, now_ms, count, from_ms)
        forming = self._history.forming(symbol, granularity, now_ms)
        return self._rows(symbol, [*rows, *([] if forming is None else [forming])][-count:])

    def _history_candles(self, query: Query, candle: Candle | None) -> str:
        symbol, granularity = self._symbol(query), _granularity(query)
        count, now_ms = _limit(query, HISTORY_CANDLES_MAX), self._venue.now_ms()
        start_ms, end_ms = _span(query)
        known_ms = now_ms - self._venue.behaviour.rest_delay_ms
        until_ms = known_ms if end_ms is None else min(end_ms, known_ms)
        from_ms = start_ms if self._venue.behaviour.start_bounds else 0
        return self._rows(symbol, self._history.bars(symbol, granularity, until_ms, count, from_ms, candle))

    def _rows(self, symbol: str, rows: list[CandleRow]) -> str:
        return self._list(map(rest_row, rows), symbol)

    # ------------------------------------------------------------ contracts and prices

    def _contracts(self, query: Query) -> str:
        if query.get("productType", "").upper() in OTHER_PRODUCTS:
            return "[]"
        now_ms, symbols = self._venue.now_ms(), self._symbols(query)
        texts = (
            self._replace_fields(symbol, contract_text(self._history, symbol, now_ms, self._status(symbol)))
            for symbol in symbols
        )
        return self._list(texts, query.get("symbol"))

    def _replace_fields(self, symbol: str, contract: str) -> str:
        active = self._venue.faults.hits(BitgetFault.ODD_CONTRACT, symbol)
        if active is None:
            return contract
        fields = json.loads(contract) | active.value
        return json.dumps({name: value for name, value in fields.items() if value is not None})

    def _status(self, symbol: str) -> str:
        active = self._venue.faults.sees(BitgetFault.MAINTENANCE, symbol)
        return "normal" if active is None else str(active.value or "maintain")

    def _ticker(self, query: Query) -> str:
        symbol = self._symbol(query)
        return self._list([rest_ticker_text(self._history, symbol, self._venue.now_ms())], symbol)

    def _tickers(self, query: Query) -> str:
        now_ms = self._venue.now_ms()
        texts = (rest_ticker_text(self._history, symbol, now_ms) for symbol in self._symbols(query))
        return self._list(texts, None)

    def _symbol_price(self, query: Query) -> str:
        symbol = self._symbol(query)
        return self._list([symbol_price_text(self._history, symbol, self._venue.now_ms())], symbol)

    def _open_interest(self, query: Query) -> str:
        symbol, now_ms = self._symbol(query), self._venue.now_ms()
        size = text_of(self._history.market.open_interest(symbol, now_ms))
        one = self._list([f'{{"symbol":"{symbol}","size":"{size}"}}'], symbol)
        return f'{{"openInterestList":{one},"ts":"{now_ms}"}}'

    def _tiers(self, query: Query) -> str:
        symbol = self._symbol(query)
        return self._list(tier_texts(self._history.listing(symbol)), symbol)

    # ------------------------------------------------------------ funding

    def _current_fund_rate(self, query: Query) -> str:
        now_ms = self._venue.now_ms()
        texts = (fund_rate_text(self._history, symbol, now_ms) for symbol in self._symbols(query))
        return self._list(texts, query.get("symbol"))

    def _funding_time(self, query: Query) -> str:
        symbol = self._symbol(query)
        return self._list([funding_time_text(self._history, symbol, self._venue.now_ms())], symbol)

    def _history_fund_rate(self, query: Query) -> str:
        symbol = self._symbol(query)
        size = _whole(query, "pageSize", SETTLEMENTS_PAGE_DEFAULT, SETTLEMENTS_PAGE_MAX)
        number = _whole(query, "pageNo", 1, SPAN_MS_MAX)
        until_ms = self._venue.now_ms() - self._venue.behaviour.funding_delay_ms + 1
        settled = self._history.settlements(symbol, until_ms - SPAN_MS_MAX, until_ms)[::-1]
        page = settled[(number - 1) * size : number * size]
        return self._list((settlement_text(symbol, at_ms, rate) for at_ms, rate in page), symbol)


def _granularity(query: Query) -> str:
    granularity = query.get("granularity", "")
    if not granularity:
        raise RestError("400172", "Parameter verification failed granularity")
    if granularity not in GRANULARITIES:
        raise RestError("400171", f"Parameter verification failed granularity {granularity}")
    return granularity


def _recent_ms(granularity: str) -> int:
    default = RECENT_DAYS_OF_MINUTES if granularity.endswith("m") else RECENT_DAYS_OF_LONG_BARS
    return RECENT_DAYS.get(granularity, default) * DAY_MS


def _limit(query: Query, most: int) -> int:
    return _whole(query, "limit", CANDLES_DEFAULT, most)


def _whole(query: Query, name: str, default: int, most: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise RestError("40053", f"{name} should be between 1~{most}")
    return int(text)


def _span(query: Query) -> tuple[int, int | None]:
    times: dict[str, int] = {}
    for name in ("startTime", "endTime"):
        if (text := query.get(name)) is not None:
            if not text.isdecimal():
                raise RestError("400172", f"Parameter verification failed {name}")
            times[name] = int(text)
    if len(times) == 2 and times["endTime"] - times["startTime"] > SPAN_MS_MAX:
        raise RestError("00001", "startTime and endTime interval cannot be greater than 90 days")
    return times.get("startTime", 0), times.get("endTime")
