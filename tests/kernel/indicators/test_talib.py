"""Indicators against TA-Lib on recorded candles, in CPython and compiled."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import talib

from tests.kernel.indicators.every import Candles, Fold, Periods, candles_of
from tests.support import needs_data

if TYPE_CHECKING:
    from collections.abc import Callable

Array = Any
FILES = [
    ("binance_BTCUSDT_5m_2024-12-31_2025-09-30.csv.gz", 11_000),
    ("binance_ETHUSDT_1m_2025-05-04_2025-06-24.csv.gz", 7_000),
    ("binance_SOLUSDT_5m_2024-12-31_2025-09-30.csv.gz", 0),
    ("binance_BTCUSDT_1h_2024-06-01_2024-09-30.csv.gz", 0),
]
PERIODS = [Periods(), Periods(2, 3, 5, 2, 1, 2, 2, width=1.5), Periods(200, 50, 180, 30, 7, 11, 40)]
SAME = 1e-9


@cache
def kept(file: tuple[str, int], compiled: bool, number: int) -> Array:
    """The state after every candle of a file."""
    return Fold(compiled, periods=PERIODS[number]).run(candles_of(*file))


def assert_equal(values: Array, ready: Array, expected: Array, scale: float = 0.0) -> None:
    """Ready exactly where TA-Lib has a value, and equal to it to 1e-9, or to 1e-9 of a scale where both cross zero."""
    assert np.array_equal(ready == 1, ~np.isnan(expected)), f"ready from {ready.argmax()}, {np.isnan(expected).sum()}"
    both = ready == 1
    np.testing.assert_allclose(values[both], expected[both], rtol=SAME, atol=SAME * scale)


ONE_VALUE: dict[str, Callable[[Candles, Periods], Array]] = {
    "sma": lambda c, p: talib.SMA(c.close, p.period),
    "ema": lambda c, p: talib.EMA(c.close, p.period),
    "wma": lambda c, p: talib.WMA(c.close, p.period),
    "rsi": lambda c, p: talib.RSI(c.close, p.period),
    "atr": lambda c, p: talib.ATR(c.high, c.low, c.close, p.period),
    "adx": lambda c, p: talib.ADX(c.high, c.low, c.close, p.period),
    "cci": lambda c, p: talib.CCI(c.high, c.low, c.close, p.period),
    "mfi": lambda c, p: talib.MFI(c.high, c.low, c.close, c.volume, p.period),
    "obv": lambda c, _: talib.OBV(c.close, c.volume),
    "volume": lambda c, p: talib.SMA(c.volume, p.period),
    "slope": lambda c, p: talib.LINEARREG_SLOPE(c.close - c.close[0], p.period),
    "deviation": lambda c, p: talib.STDDEV(c.close - c.close[0], p.period),
}
SCALES = {"mfi": 100.0, "obv": 1e4, "slope": 1.0, "cci": 100.0, "deviation": 10.0}
"""Where a result crosses zero, or TA-Lib loses digits by differences of large sums."""
every_way = pytest.mark.parametrize(
    ("file", "compiled", "number"),
    [(file, compiled, number) for file in FILES for compiled in (False, True) for number in range(len(PERIODS))],
)


@pytest.mark.system
@needs_data
@every_way
def test_one_value_equals_talib(file: tuple[str, int], compiled: bool, number: int) -> None:
    states, candles = kept(file, compiled, number), candles_of(*file)
    for name, formula in ONE_VALUE.items():
        one = states[name]
        assert_equal(one["value"], one["ready"], formula(candles, PERIODS[number]), SCALES.get(name, 0.0))


@needs_data
@every_way
def test_several_values_equal_talib(file: tuple[str, int], compiled: bool, number: int) -> None:
    states, c, p = kept(file, compiled, number), candles_of(*file), PERIODS[number]
    adx, macd, slow, bands = states["adx"], states["macd"], states["stochastic"], states["bollinger"]
    assert_equal(adx["plus_di"], adx["di_ready"], talib.PLUS_DI(c.high, c.low, c.close, p.period))
    assert_equal(adx["minus_di"], adx["di_ready"], talib.MINUS_DI(c.high, c.low, c.close, p.period))
    for name, expected in zip(
        ("value", "signal", "histogram"), talib.MACD(c.close, p.fast, p.slow, p.signal), strict=True
    ):
        assert_equal(macd[name], macd["ready"], expected, scale=c.close[0])
    stoch = talib.STOCH(c.high, c.low, c.close, p.period, p.smooth_k, 0, p.smooth_d, 0)
    for name, expected in zip(("k", "d"), stoch, strict=True):
        assert_equal(slow[name], slow["ready"], expected, scale=100.0)
    shifted = talib.BBANDS(c.close - c.close[0], p.period, p.width, p.width)
    for name, expected in zip(("upper", "middle", "lower"), shifted, strict=True):
        assert_equal(bands[name], bands["ready"], expected + c.close[0])


@needs_data
@every_way
def test_donchian_equals_talib_and_shows_the_channel_before(file: tuple[str, int], compiled: bool, number: int) -> None:
    states, c, period = kept(file, compiled, number), candles_of(*file), PERIODS[number].period
    channel, ready = states["donchian"], states["donchian"]["ready"]
    upper, lower = talib.MAX(c.high, period), talib.MIN(c.low, period)
    upper[period - 1] = lower[period - 1] = np.nan  # The channel before is not complete there.
    assert_equal(channel["upper"], ready, upper)
    assert_equal(channel["lower"], ready, lower)
    assert np.array_equal(channel["previous_upper"][period + 1 :], upper[period:-1])
    assert np.array_equal(channel["previous_lower"][period + 1 :], lower[period:-1])


@needs_data
@pytest.mark.parametrize("number", range(len(PERIODS)))
@pytest.mark.parametrize("file", FILES)
def test_compiled_state_is_the_same_to_the_last_bit(file: tuple[str, int], number: int) -> None:
    assert kept(file, True, number).tobytes() == kept(file, False, number).tobytes()
