"""The JSON objects of the REST pages and of the ticker channel, key by key as Bitget writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from papertape.events.units import HOUR_MS
from papertape.sandbox.bitget.history import MarketHistory
from papertape.sandbox.bitget.market import TwinContract, draw
from papertape.sandbox.bitget.text import decimals_of, format_rounded, ratio_text, text_of

RATE_MAX: Final = "0.003"


def contract_text(history: MarketHistory, symbol: str, now_ms: int, status: str) -> str:
    """Return a row of `contracts`."""
    listing = history.listing(symbol)
    coin, lot = symbol.removesuffix("USDT"), ratio_text(listing.lot)
    return json.dumps(
        {
            "symbol": symbol,
            "baseCoin": coin,
            "quoteCoin": "USDT",
            "buyLimitPriceRatio": "0.05",
            "sellLimitPriceRatio": "0.05",
            "feeRateUpRatio": "0.005",
            "makerFeeRate": "0.0002",
            "takerFeeRate": "0.0006",
            "openCostUpRatio": "0.01",
            "supportMarginCoins": ["USDT"],
            "minTradeNum": lot,
            "priceEndStep": str(listing.tick[0]),
            "volumePlace": str(decimals_of(listing.lot[1])),
            "pricePlace": str(decimals_of(listing.tick[1])),
            "sizeMultiplier": lot,
            "symbolType": "perpetual",
            "minTradeUSDT": text_of(listing.minimum_notional_usdt),
            "maxSymbolOrderNum": "200",
            "maxProductOrderNum": "1000",
            "maxPositionNum": "200",
            "symbolStatus": status,
            "offTime": "-1",
            "limitOpenTime": "-1",
            "deliveryTime": "",
            "deliveryStartTime": "",
            "deliveryPeriod": "",
            "launchTime": "",
            "fundInterval": str(history.interval_ms(symbol, now_ms) // HOUR_MS),
            "minLever": "1",
            "maxLever": str(listing.tiers[0][2]),
            "posLimit": "0.2",
            "maintainTime": "",
            "openTime": "",
            "maxMarketOrderQty": "220",
            "maxOrderQty": "1200",
            "isRwa": "NO",
        },
        separators=(",", ":"),
    )


def tier_texts(listing: TwinContract) -> Iterator[str]:
    """Yield the rows of `query-position-lever`."""
    for level, (start, end, leverage, rate) in enumerate(listing.tiers, start=1):
        yield (
            f'{{"symbol":{json.dumps(listing.symbol)},"level":"{level}","startUnit":"{text_of(start)}",'
            f'"endUnit":"{text_of(end)}","leverage":"{leverage}","keepMarginRate":"{rate:.4f}"}}'
        )


def ticker_pairs(history: MarketHistory, symbol: str, now_ms: int) -> str:
    """Return the fields that REST and stream share for a symbol: the inside of an object."""
    row = history.last(symbol, now_ms)
    last = 0.0 if row is None else row.close
    numerator, denominator = history.listing(symbol).tick
    ask = (round(last * denominator / numerator) + 1) * numerator / denominator
    day = history.day_figures(symbol, now_ms)
    change = 0.0 if day.open == 0.0 else last / day.open - 1.0
    size = draw("size", symbol, now_ms)
    return (
        f'"symbol":{json.dumps(symbol)},"lastPr":"{text_of(last)}","bidPr":"{text_of(last)}",'
        f'"askPr":"{text_of(ask)}","bidSz":"{size * 10.0:.4f}","askSz":"{(1.0 - size) * 10.0:.4f}",'
        f'"open24h":"{text_of(day.open)}","high24h":"{text_of(max(day.high, last))}",'
        f'"low24h":"{text_of(min(day.low or last, last))}","change24h":"{format_rounded(change, 5)}",'
        f'"fundingRate":"{text_of(history.estimated_rate(symbol, now_ms))}",'
        f'"markPrice":"{text_of(history.mark_price(symbol, now_ms))}",'
        f'"indexPrice":"{text_of(history.market.index_price(symbol, last, now_ms))}",'
        f'"holdingAmount":"{text_of(history.market.open_interest(symbol, now_ms))}",'
        f'"baseVolume":"{text_of(day.volume)}","quoteVolume":"{text_of(day.turnover)}",'
        f'"openUtc":"{text_of(day.open_utc)}","ts":"{now_ms}"'
    )


def stream_ticker_text(history: MarketHistory, symbol: str, now_ms: int) -> str:
    """Return the object of the channel `ticker`."""
    return (
        f'{{"instId":{json.dumps(symbol)},{ticker_pairs(history, symbol, now_ms)},'
        f'"nextFundingTime":"{history.next_settlement_ms(symbol, now_ms)}","symbolType":"1","deliveryPrice":"0"}}'
    )


def rest_ticker_text(history: MarketHistory, symbol: str, now_ms: int) -> str:
    """Return a row of `ticker` and `tickers`."""
    day = history.day_figures(symbol, now_ms)
    row = history.last(symbol, now_ms)
    change = 0.0 if row is None or day.open_utc == 0.0 else row.close / day.open_utc - 1.0
    return (
        f'{{{ticker_pairs(history, symbol, now_ms)},"usdtVolume":"{text_of(day.turnover)}",'
        f'"changeUtc24h":"{format_rounded(change, 5)}","deliveryStartTime":"","deliveryTime":"",'
        f'"deliveryStatus":"delivery_normal"}}'
    )


def symbol_price_text(history: MarketHistory, symbol: str, now_ms: int) -> str:
    """Return the row of `symbol-price`."""
    row = history.last(symbol, now_ms)
    last = 0.0 if row is None else row.close
    return (
        f'{{"symbol":{json.dumps(symbol)},"price":"{text_of(last)}",'
        f'"indexPrice":"{text_of(history.market.index_price(symbol, last, now_ms))}",'
        f'"markPrice":"{text_of(history.mark_price(symbol, now_ms))}","ts":"{now_ms}"}}'
    )


def fund_rate_text(history: MarketHistory, symbol: str, now_ms: int) -> str:
    """Return a row of `current-fund-rate`."""
    return (
        f'{{"symbol":{json.dumps(symbol)},"fundingRate":"{text_of(history.estimated_rate(symbol, now_ms))}",'
        f'"fundingRateInterval":"{history.interval_ms(symbol, now_ms) // HOUR_MS}",'
        f'"nextUpdate":"{history.next_settlement_ms(symbol, now_ms)}",'
        f'"minFundingRate":"-{RATE_MAX}","maxFundingRate":"{RATE_MAX}"}}'
    )


def settlement_text(symbol: str, at_ms: int, rate: float) -> str:
    """Return a row of `history-fund-rate`."""
    return f'{{"symbol":{json.dumps(symbol)},"fundingRate":"{text_of(rate)}","fundingTime":"{at_ms}"}}'


def funding_time_text(history: MarketHistory, symbol: str, now_ms: int) -> str:
    """Return the row of `funding-time`."""
    return (
        f'{{"symbol":{json.dumps(symbol)},"nextFundingTime":"{history.next_settlement_ms(symbol, now_ms)}",'
        f'"ratePeriod":"{history.interval_ms(symbol, now_ms) // HOUR_MS}"}}'
    )
