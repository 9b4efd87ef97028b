"""Indicators that TA-Lib lacks, or computes with fewer digits, against formulas written out over whole columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import talib

from papertape.events.units import DAY_MS, MINUTE_MS
from tests.kernel.indicators.every import Fold, Periods, candles_of
from tests.support import needs_data

Array = Any
FILES = ["binance_BTCUSDT_5m_2024-12-31_2025-09-30.csv.gz", "binance_ETHUSDT_1m_2025-05-04_2025-06-24.csv.gz"]
PERIODS = [Periods(), Periods(2, 3, 5, 2, 1, 2, 2, width=1.5, percent=50.0), Periods(100, 50, 180, 30, 7, 11, 40)]
SAME = 1e-9
ROWS_A_DAY = DAY_MS // (5 * MINUTE_MS)
every_way = pytest.mark.parametrize(
    ("file", "periods", "compiled"), [(f, p, c) for f in FILES for p in PERIODS for c in (False, True)]
)


def windows(column: Array, length: int) -> Array:
    """Every window of a column, one to a row."""
    return np.lib.stride_tricks.sliding_window_view(column, length)


def assert_equal(values: Array, ready: Array, expected: Array, scale: float = 0.0) -> None:
    """Ready exactly for the last rows, as many as are expected, and equal to 1e-9, or to that part of a scale."""
    first = len(values) - len(expected)
    assert ready.tolist() == [0] * first + [1] * len(expected)
    np.testing.assert_allclose(values[first:], expected, rtol=SAME, atol=SAME * scale)


@needs_data
@every_way
def test_dispersion_equals_two_passes_over_each_window(file: str, periods: Periods, compiled: bool) -> None:
    candles = candles_of(file)
    states, closes, n = (
        Fold(compiled, periods=periods).run(candles),
        windows(candles.close, periods.period),
        periods.period,
    )
    deviation, mean = closes.std(axis=1), closes.mean(axis=1)
    assert_equal(states["deviation"]["value"], states["deviation"]["ready"], deviation, 1e-3)
    assert_equal(states["deviation"]["mean"], states["deviation"]["ready"], mean)
    moved = np.where(deviation > 0.0, deviation, 1.0)
    score = np.where(deviation > 0.0, (closes[:, -1] - mean) / moved, 0.0)
    assert_equal(states["score"]["value"], states["score"]["ready"], score, 100.0)
    steps = np.arange(n) - (n - 1) / 2.0
    slope = ((closes - closes[:, :1]) * steps).sum(axis=1) / (steps * steps).sum()
    assert_equal(states["slope"]["value"], states["slope"]["ready"], slope, 1.0)


@needs_data
@every_way
def test_keltner_is_an_average_and_true_ranges_to_either_side(file: str, periods: Periods, compiled: bool) -> None:
    c = candles_of(file)
    channel = Fold(compiled, periods=periods).run(c)["keltner"]
    reach = periods.width * talib.ATR(c.high, c.low, c.close, periods.atr_period)
    middle = talib.EMA(c.close, periods.period)
    known = ~np.isnan(middle + reach)
    for name, expected in (("middle", middle), ("upper", middle + reach), ("lower", middle - reach)):
        assert_equal(channel[name], channel["ready"], expected[known])


def supertrend(high: Array, low: Array, close: Array, atr: Array, width: float) -> tuple[list[float], list[int]]:
    """The line and the side of each row from the first true range on, as chart software draws them."""
    lines: list[float] = []
    sides: list[int] = []
    begun = int(np.isnan(atr).sum())
    upper = lower = 0.0
    for row in range(begun, len(close)):
        middle = (high[row] + low[row]) / 2.0
        above, below = middle + width * atr[row], middle - width * atr[row]
        if not lines:
            upper, lower, side = above, below, -1
        else:
            upper = above if above < upper or close[row - 1] > upper else upper
            lower = below if below > lower or close[row - 1] < lower else lower
            side = (1 if close[row] > upper else -1) if sides[-1] < 0 else (-1 if close[row] < lower else 1)
        lines.append(lower if side > 0 else upper)
        sides.append(side)
    return lines, sides


@needs_data
@every_way
def test_supertrend_turns_where_a_close_lies_beyond_its_band(file: str, periods: Periods, compiled: bool) -> None:
    c = candles_of(file)
    trend = Fold(compiled, periods=periods).run(c)["supertrend"]
    atr = talib.ATR(c.high, c.low, c.close, periods.atr_period)
    lines, sides = supertrend(c.high, c.low, c.close, atr, periods.width)
    assert_equal(trend["value"], trend["ready"], np.array(lines))
    assert trend["side"][-len(sides) :].tolist() == sides
    assert {1, -1} == set(sides)


@needs_data
@every_way
def test_ranks_equal_sorted_windows(file: str, periods: Periods, compiled: bool) -> None:
    c, n = candles_of(file), periods.period
    states = Fold(compiled, periods=periods).run(c)
    nearest = np.percentile(windows(c.close, n), periods.percent, axis=1, method="inverted_cdf")
    assert_equal(states["percentile"]["value"], states["percentile"]["ready"], nearest)
    before = windows(c.close, n + 1)
    share = 100.0 * (before[:, :-1] <= before[:, -1:]).sum(axis=1) / n
    assert_equal(states["rank"]["value"], states["rank"]["ready"], share)


@needs_data
@every_way
def test_vwap_is_turnover_by_volume_of_the_window_and_of_the_day(file: str, periods: Periods, compiled: bool) -> None:
    c, n = candles_of(file), periods.period
    states = Fold(compiled, periods=periods).run(c)
    turnover = (c.high + c.low + c.close) / 3.0 * c.volume
    rolling = windows(turnover, n).sum(axis=1) / windows(c.volume, n).sum(axis=1)
    assert_equal(states["vwap"]["value"], states["vwap"]["ready"], rolling)
    days = [slice(at, at + ROWS_A_DAY) for at in range(0, len(c.close), ROWS_A_DAY)]
    daily = np.concatenate([turnover[day].cumsum() / c.volume[day].cumsum() for day in days])
    assert_equal(states["session"]["value"], states["session"]["ready"], daily)


@needs_data
@every_way
def test_heikin_ashi_crossings_and_candles_since(file: str, periods: Periods, compiled: bool) -> None:
    c = candles_of(file)
    states = Fold(compiled, periods=periods).run(c)
    made, open_, close = states["heikin"], (c.open[0] + c.close[0]) / 2.0, (c.open + c.high + c.low + c.close) / 4.0
    opens = [open_]
    for row in range(1, len(close)):
        opens.append((opens[-1] + close[row - 1]) / 2.0)
    assert_equal(made["open"], made["ready"], np.array(opens))
    assert_equal(made["close"], made["ready"], close)
    assert_equal(made["high"], made["ready"], np.maximum(c.high, np.maximum(opens, close)))
    assert_equal(made["low"], made["ready"], np.minimum(c.low, np.minimum(opens, close)))
    above = (c.close - states["ema"]["value"])[periods.period - 1 :]
    crossed = np.where((above[1:] > 0) & (above[:-1] <= 0), 1, np.where((above[1:] < 0) & (above[:-1] >= 0), -1, 0))
    assert_equal(states["cross"]["value"], states["cross"]["ready"], crossed)
    first = periods.period + int(np.argmax(crossed == 1))
    rows = np.flatnonzero(states["cross"]["value"] == 1)
    since = [row - rows[rows <= row].max() for row in range(first, len(close))]
    assert_equal(states["since"]["value"], states["since"]["ready"], np.array(since))
