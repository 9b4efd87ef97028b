"""A million candles: running sums stay what a fresh sum of the window is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import talib

from tests.kernel.indicators.every import Candles, Fold, Periods
from tests.kernel.indicators.test_starts import walk

Array = Any
COUNT = 1_000_000
SAME = 1e-9


def harsh_market() -> Candles:
    """A million minutes whose price goes from 20 to 90,000 and back, with crashes and volume over six digits."""
    chance = np.random.default_rng(7)
    trend = np.exp(np.sin(np.linspace(0.0, 6.0 * np.pi, COUNT)) * 4.2 + 7.2)
    closes = np.round(trend * np.exp(np.cumsum(chance.normal(size=COUNT)) * 1e-4), 2)
    closes[::9_973] *= 0.5
    opens = np.concatenate([closes[:1], closes[:-1]])
    volumes = np.round(np.exp(chance.normal(size=COUNT) * 1.5), 3)
    volumes[::4_999] *= 300.0
    return Candles(opens, np.maximum(opens, closes), np.minimum(opens, closes), closes, volumes)


@pytest.mark.system
@pytest.mark.parametrize(("period", "ring"), [(20, 512), pytest.param(2_048, 4_096, marks=pytest.mark.slow)])
def test_after_a_million_candles_every_window_sum_is_a_fresh_one(period: int, ring: int) -> None:
    candles, settings = harsh_market(), Periods(period, 12, 26, 9, 5, 7, period, percent=40.0)
    step = 9_091 if period == 20 else 49_999  # Shares no divisor with the windows: sums are seen at every age.
    states = Fold(compiled=True, ring=ring, periods=settings).run(candles, step=step)
    for number, state in enumerate(states, start=1):
        end = number * step
        if end > period:
            assert_fresh(state, candles, end, period)


def assert_fresh(state: Array, c: Candles, end: int, period: int) -> None:
    """Every result that lives on a running sum equals that of the window alone."""
    last = slice(end - period, end)
    close, volume = c.close[last], c.volume[last]
    deviation, mean = close.std(), close.mean()
    weights, steps = np.arange(1, period + 1), np.arange(period) - (period - 1) / 2.0
    turnover = (c.high + c.low + c.close)[last] / 3.0 * volume
    slope = ((close - close[0]) * steps).sum() / (steps * steps).sum()
    price = (c.high + c.low + c.close)[end - period - 1 : end] / 3.0
    risen, fallen = turnover[np.diff(price) > 0.0].sum(), turnover[np.diff(price) < 0.0].sum()
    near = slice(end - 100, end)
    k, d = talib.STOCH(c.high[near], c.low[near], c.close[near], 20, 5, 0, 7, 0)
    expected = {
        ("sma", "value"): (mean, 0.0),
        ("wma", "value"): ((close * weights).sum() / weights.sum(), 0.0),
        ("deviation", "value"): (deviation, 0.0),
        ("slope", "value"): (slope, deviation),
        ("volume", "value"): (volume.mean(), 0.0),
        ("vwap", "value"): (turnover.sum() / volume.sum(), 0.0),
        ("mfi", "value"): (100.0 * risen / (risen + fallen), 0.0),
        ("stochastic", "k"): (k[-1], 100.0),
        ("stochastic", "d"): (d[-1], 100.0),
        ("percentile", "value"): (np.percentile(close, 40.0, method="inverted_cdf"), 0.0),
    }
    for (name, result), (value, scale) in expected.items():
        if period > 20 and name == "stochastic":
            continue
        assert state[name]["ready"] == 1
        assert state[name][result] == pytest.approx(value, rel=SAME, abs=SAME * scale), (name, result, end)


def test_a_quiet_window_after_a_crash_has_all_its_digits() -> None:
    """The crash has left the window, and with it what was a million times larger than all that is in it."""
    quiet = walk(600)
    quiet.close[:] = 60_000.0 + np.arange(600) % 3 * 0.01
    quiet.close[300] = 30_000.0
    states = Fold(compiled=False, periods=Periods(100)).run(quiet)
    for row in range(99, 600):
        exact = quiet.close[row - 99 : row + 1].std()
        assert states["deviation"]["value"][row] == pytest.approx(exact, rel=1e-7), row
