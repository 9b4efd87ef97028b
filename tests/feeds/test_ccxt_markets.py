"""ccxt's markets in our units: coins and quote currency, whatever an exchange counts in."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from papertape.engine.feeds.candle_row import CandleRow
from papertape.engine.feeds.ccxt.library import numbers_of, replace_base_urls
from papertape.engine.feeds.ccxt.markets import assumed_tiers, read_markets, read_tiers
from papertape.engine.ports.clock import SystemClock
from papertape.engine.ports.feed import RefusalReason
from papertape.events.units import MINUTE_MS
from tests.feeds.ccxt_runs import feed_of_exchange

T0_MS = 1_790_000_100_000
CONTRACT: dict[str, Any] = {
    "symbol": "BTC/USDT:USDT", "base": "BTC", "quote": "USDT", "settle": "USDT", "swap": True, "linear": True,
    "active": True, "contractSize": 0.01, "maker": 0.0002, "taker": 0.0005,
    "precision": {"price": 0.1, "amount": 0.01},
    "limits": {"amount": {"min": 0.01}, "cost": {"min": None}, "leverage": {"max": 100.0}},
}  # fmt: skip
"""As ccxt describes OKX's BTC-USDT-SWAP: a contract is a hundredth of a coin, and a hundredth of it can be traded."""


def changed(**changes: Any) -> dict[str, Any]:
    """The contract with other fields; `precision__price` is one within another."""
    market = deepcopy(CONTRACT)
    for name, value in changes.items():
        *path, last = name.split("__")
        within = market
        for key in path:
            within = within[key]
        within[last] = value
    return market


def test_lots_are_in_coins_where_an_exchange_trades_contracts() -> None:
    read = read_markets("okx", [CONTRACT])
    body = read.contracts.readable["BTCUSDT"]
    assert (body.lot_numerator, body.lot_denominator) == (1, 10_000)
    assert (body.tick_numerator, body.tick_denominator) == (1, 10)
    assert (body.maker_fee_fraction, body.taker_fee_fraction, body.status) == (0.0002, 0.0005, "normal")
    assert (read.by_symbol["BTCUSDT"].name, read.by_symbol["BTCUSDT"].coins) == ("BTC/USDT:USDT", 0.01)
    assert assumed_tiers(read.leverage_max["BTCUSDT"]) == ((0.0, 0.005),)


def test_the_smallest_order_is_the_lot_if_it_is_larger() -> None:
    body = read_markets("okx", [changed(limits__amount__min=1)]).contracts.readable["BTCUSDT"]
    assert (body.lot_numerator, body.lot_denominator) == (1, 100)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"precision__price": None}, "precision.price missing"),
        ({"precision__amount": 0}, "precision.amount 0"),
        ({"precision": None}, "precision.price missing"),
        ({"contractSize": None}, "contractSize missing"),
        ({"contractSize": float("nan")}, "contractSize nan"),
    ],
)
def test_a_market_that_cannot_be_read_says_which_field(changes: dict[str, Any], fault: str) -> None:
    read = read_markets("okx", [changed(**changes), changed(symbol="ETH/USDT:USDT", base="ETH")])
    assert read.contracts.unreadable == {"BTCUSDT": fault}
    assert list(read.contracts.readable) == ["ETHUSDT"]


def test_where_the_unit_of_volumes_is_unknown_only_contracts_of_one_coin_are_traded() -> None:
    assert "in coins or in contracts" in read_markets("xt", [CONTRACT]).contracts.unreadable["BTCUSDT"]
    assert list(read_markets("xt", [changed(contractSize=1)]).contracts.readable) == ["BTCUSDT"]


def test_contracts_in_another_quote_count_only_where_there_is_none_in_usdt() -> None:
    usdc = changed(symbol="BTC/USDC:USDC", quote="USDC", settle="USDC")
    others = [changed(linear=False, settle="BTC"), changed(swap=False), None]
    assert list(read_markets("okx", [*others, usdc, CONTRACT]).by_symbol) == ["BTCUSDT"]
    assert list(read_markets("hyperliquid", [*others, usdc]).by_symbol) == ["BTCUSDC"]


def test_a_contract_that_is_not_active_is_not_open_for_trading() -> None:
    body = read_markets("okx", [changed(active=False)]).contracts.readable["BTCUSDT"]
    assert body.status == "not open for trading"


@pytest.mark.parametrize(("exchange", "volume"), [("okx", 250.0), ("gate", 2.5), ("kucoinfutures", 2.5)])
def test_the_volume_of_a_candle_is_in_coins(exchange: str, volume: float) -> None:
    client = feed_of_exchange(exchange, SystemClock()).client(SystemClock())
    market = read_markets(exchange, [CONTRACT]).by_symbol["BTCUSDT"]
    row = client.candle(market, [T0_MS, 100, 101.5, 99, 100.5, 250])
    assert row == CandleRow(T0_MS, 100.0, 101.5, 99.0, 100.5, volume)
    assert client.candle(market, [T0_MS + 1, 100, 101.5, 99, 100.5, 250]) is RefusalReason.OFF_GRID
    assert T0_MS % MINUTE_MS == 0


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ([T0_MS, 1, 2.5], (T0_MS, [1.0, 2.5])),
        ([T0_MS, True, 2.5], RefusalReason.WRONG_SHAPE),
        ([T0_MS, "1", 2.5], RefusalReason.WRONG_SHAPE),
        ([T0_MS, 1], RefusalReason.WRONG_SHAPE),
        ([float(T0_MS), 1, 2], RefusalReason.WRONG_SHAPE),
        ([T0_MS, 1, float("inf")], RefusalReason.NOT_FINITE),
        ([-1, 1, 2], RefusalReason.TIME_OUT_OF_RANGE),
        (None, RefusalReason.WRONG_SHAPE),
    ],
)
def test_a_row_is_a_time_and_finite_numbers(line: Any, expected: Any) -> None:
    assert numbers_of(line, 2) == expected


@pytest.mark.parametrize(
    ("rows", "tiers"),
    [
        ([(0, 0.004), (50_000.0, 0.01)], ((0.0, 0.004), (50_000.0, 0.01))),
        ([(50_000, 0.01), (0, 0.004)], ((0.0, 0.004), (50_000.0, 0.01))),
        ([(10, 0.004)], None),
        ([(0, 0.01), (50_000, 0.004)], None),
        ([(0, None)], None),
        ([], None),
    ],
)
def test_margin_tiers_are_taken_whole_or_not_at_all(rows: Any, tiers: Any) -> None:
    assert read_tiers([{"minNotional": low, "maintenanceMarginRate": rate} for low, rate in rows]) == tiers


def test_without_any_limit_of_leverage_one_percent_is_assumed() -> None:
    assert assumed_tiers(None) == ((0.0, 0.01),)


def test_only_addresses_with_a_replacement_move() -> None:
    urls = {"rest": "https://api.x.com/v1", "ws": {"public": "wss://ws.x.com/v2"}}
    assert replace_base_urls(urls, "", "ws://127.0.0.1:9") == {
        "rest": "https://api.x.com/v1", "ws": {"public": "ws://127.0.0.1:9/v2"}
    }  # fmt: skip
    assert replace_base_urls(urls, "", "") == urls
