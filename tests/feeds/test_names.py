"""A file's name states one symbol, or none: two coins never become one."""

from __future__ import annotations

import pytest

from papertape.engine.feeds.files.symbol_names import symbol_of


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("BTC_USDT_USDT-5m-futures.csv", "BTCUSDT"),
        ("ETH_USDT_USDT-5m-futures.feather", "ETHUSDT"),
        ("BTC_USDT_USDT-8h-funding_rate.feather", "BTCUSDT"),
        ("BTC_USDT-1h.json.gz", "BTCUSDT"),
        ("BTCUSDT_2025_01.csv", "BTCUSDT"),
        ("BTCUSDT-1m-2025-01.csv", "BTCUSDT"),
        ("BTCUSDT-1m-2025-01-15.zip", "BTCUSDT"),
        ("BTCUSDT-fundingRate-2025-01.zip", "BTCUSDT"),
        ("BTCUSDT-metrics-2025-01-15.zip", "BTCUSDT"),
        ("BTCUSDT_1_2025-01-01_2025-01-31.csv", "BTCUSDT"),
        ("BTCUSDT2025-01-01.csv.gz", "BTCUSDT"),
        ("1000SATSUSDT-1m-2025-01.zip", "1000SATSUSDT"),
        ("Binance_BTCUSDT_2024_minute.csv", "BTCUSDT"),
        ("binance_BTC_USDT_5m.csv", "BTCUSDT"),
        ("binance_BTC_USDT_USDT_5m.csv", "BTCUSDT"),
        ("okx_BTC-USD-SWAP_open_interest_1h_.csv", "BTC-USD-SWAP"),
        ("bitget_币安人生USDT_1m_2025.csv.gz", "币安人生USDT"),
        ("币安人生USDT-1m-2025-01.csv", "币安人生USDT"),
        ("币安人生_USDT_USDT-5m-futures.feather", "币安人生USDT"),
    ],
)
def test_the_names_that_tools_give_state_their_symbol(name: str, symbol: str) -> None:
    assert symbol_of(name) == symbol


@pytest.mark.parametrize(
    "name",
    [
        "x_USDT_5m.csv",
        "x_2025_01.csv",
        "USDT_2025_01.csv",
        "BTCUSDT_ETHUSDT_1m.csv",
        "binance_BTCUSDT_ETHUSDT_5m.csv",
        "BTCUSDT_240628-1m-2024-01.csv",
        "BTC_ETH_1m.csv",
        "candles.csv",
    ],
)
def test_a_name_that_could_mean_another_coin_states_none(name: str) -> None:
    assert symbol_of(name) is None
