"""When indicators start over, when they do nothing, and what is never ready."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from msgspec.structs import astuple

from papertape.engine.kernel.indicators import Sma, update_adx, update_atr, update_rsi, update_sma
from papertape.engine.kernel.indicators.structs import Adx, Atr, Rsi
from papertape.engine.kernel.indicators.wilder import (
    REGIME_PERIOD,
    begin_adx,
    begin_atr,
    fold_adx,
    fold_atr,
    true_range,
)
from papertape.engine.kernel.series import complete_candle
from papertape.engine.kernel.state import Bar, Series
from papertape.engine.kernel.view import SeriesView
from papertape.engine.research.records import records_of
from papertape.events.units import MINUTE_MS
from tests.kernel.indicators.every import Candles, Every, Fold, Periods

Array = Any
RESULTS = {
    *("ready", "value", "side", "upper", "middle", "lower", "k", "d", "signal", "histogram", "plus_di", "minus_di"),
    *("open", "high", "low", "close", "mean", "previous_upper", "previous_lower"),
}


def walk(count: int, seed: int = 1) -> Candles:
    """A random market with flat stretches and candles without volume."""
    chance = np.random.default_rng(seed)
    closes = 100.0 + np.cumsum(np.round(chance.normal(size=count), 1) * (chance.random(count) < 0.8))
    opens = np.concatenate([[100.0], closes[:-1]])
    highs = np.maximum(opens, closes) + np.round(chance.random(count), 1)
    lows = np.minimum(opens, closes) - np.round(chance.random(count), 1)
    return Candles(opens, highs, lows, closes, np.round(chance.random(count) * (chance.random(count) < 0.7), 2))


@pytest.mark.parametrize("compiled", [False, True])
def test_a_gap_starts_everything_over_by_itself(compiled: bool) -> None:
    used, fresh, candles = Fold(compiled), Fold(compiled), walk(900)
    used.run(candles, 0, 700)
    if compiled:
        used.mains["row"] = -1
    else:
        used.mains[0].row = -1  # What a reset of the series does.
    used_states, fresh_states = used.run(candles, 700, 900), fresh.run(candles, 700, 900)
    since = slice(714, 900)  # The crossing is shown nothing before, as its average is not ready.
    compared = 0
    for name in used_states.dtype.names:
        for result in RESULTS & set(used_states.dtype[name].names):
            assert np.array_equal(used_states[name][result][since], fresh_states[name][result][since]), (name, result)
            compared += 1
    assert compared > 50


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("rows", [300, 2_000])
def test_a_fold_that_begins_in_the_middle_takes_in_what_the_ring_holds(compiled: bool, rows: int) -> None:
    """As for a strategy that is added or changed while the series is known already."""
    candles, whole = walk(rows), Fold(compiled, periods=Periods(percent=30.0))
    late = Fold(compiled, periods=Periods(percent=30.0))
    whole_states = whole.run(candles)
    late.run(candles, 0, rows - 1)
    late.states = records_of([Every()]) if compiled else [Every()]
    late_states = late.run(candles, rows - 1, rows)
    windowed = (
        "sma",
        "wma",
        "deviation",
        "slope",
        "cci",
        "rank",
        "percentile",
        "mfi",
        "volume",
        "vwap",
        "rsi",
        "atr",
        "ema",
    )
    for name in windowed:
        one, other = late_states[name][-1], whole_states[name][-1]
        assert one["ready"] == other["ready"] == 1, name
        assert one["value"] == pytest.approx(other["value"], rel=1e-9, abs=1e-9), name
    assert late_states["donchian"]["upper"][-1] == whole_states["donchian"]["upper"][-1]
    assert late_states["stochastic"]["d"][-1] == pytest.approx(whole_states["stochastic"]["d"][-1])


@pytest.mark.parametrize("compiled", [False, True])
def test_another_period_takes_in_what_the_ring_holds(compiled: bool) -> None:
    candles, fold, wide = walk(400), Fold(compiled, periods=Periods(10)), Fold(compiled, periods=Periods(40))
    fold.run(candles, 0, 399)
    fold.periods = Periods(40)
    changed, expected = fold.run(candles, 399, 400)[-1], wide.run(candles)[-1]
    for name in ("sma", "wma", "rsi", "deviation", "vwap", "percentile"):
        assert changed[name]["window"] == 40 and changed[name]["ready"] == 1
        assert changed[name]["value"] == pytest.approx(expected[name]["value"], rel=1e-9), name


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("periods", [Periods(0, 0, 0, 0, 0, 0, 0), Periods(-1, 5, 5, 1, 1, 1, -1), Periods(511)])
def test_a_window_that_is_empty_or_longer_than_the_ring_is_never_ready(compiled: bool, periods: Periods) -> None:
    newest = Fold(compiled, periods=periods).run(walk(1_200))[-1]
    unready = (
        "sma",
        "ema",
        "wma",
        "rsi",
        "atr",
        "adx",
        "deviation",
        "bollinger",
        "score",
        "slope",
        "keltner",
        "donchian",
    )
    for name in (*unready, "stochastic", "cci", "rank", "percentile", "mfi", "volume", "vwap"):
        assert newest[name]["ready"] == 0, name
    assert newest["macd"]["ready"] == (periods.period == 511)


def test_the_longest_window_of_a_ring_is_two_less_than_its_rows() -> None:
    candles = walk(1_200)
    newest = Fold(compiled=False, periods=Periods(510)).run(candles)[-1]
    assert newest["sma"]["ready"] == 1
    assert newest["sma"]["value"] == pytest.approx(candles.close[-510:].mean())
    assert newest["rank"]["ready"] == newest["mfi"]["ready"] == newest["rsi"]["ready"] == 1


def test_nothing_happens_while_no_candle_of_the_series_is_complete() -> None:
    series, bars, sma = Series(row=3, completed=0, close=5.0), [Bar(close=5.0)] * 512, Sma()
    update_sma(sma, SeriesView(series, bars), 2)
    assert sma == Sma()


def test_a_market_that_stands_still_has_a_relative_strength_of_50() -> None:
    series, bars, rsi = Series(completed=1), [Bar(close=5.0) for _ in range(512)], Rsi()
    for row in range(20):
        series.row = row
        update_rsi(rsi, SeriesView(series, bars), 14)
    assert (rsi.ready, rsi.value) == (1, 50.0)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_market_that_stands_still_divides_by_nothing(compiled: bool) -> None:
    price = np.full(100, 5.0)
    still = Candles(price, price, price, price, np.zeros(100))
    newest = Fold(compiled).run(still)[-1]
    assert newest["deviation"]["value"] == newest["score"]["value"] == newest["cci"]["value"] == 0.0
    assert (newest["mfi"]["value"], newest["stochastic"]["k"], newest["slope"]["value"]) == (50.0, 0.0, 0.0)
    assert (newest["vwap"]["ready"], newest["session"]["ready"], newest["volume"]["value"]) == (0, 0, 0.0)


@pytest.mark.parametrize("period", [REGIME_PERIOD, REGIME_PERIOD + 1])
def test_a_fold_of_the_regimes_period_has_the_bits_of_one_that_folds_itself(period: int) -> None:
    """Row by row; a fold that begins later has numbers of its own."""
    candles, taken, late = walk(700), Every(), Every()
    series, bars = Series(timeframe_ms=MINUTE_MS, base_ms=MINUTE_MS, completed=1), [Bar() for _ in range(512)]
    atr, adx, atr_late = Atr(), Adx(), Atr()
    for row, (high, low, close) in enumerate(zip(candles.high, candles.low, candles.close, strict=True)):
        before = (series.high, series.low, series.close)
        series.forming_high, series.forming_low = float(high), float(low)
        complete_candle(series, bars, float(close))
        update_atr(taken.atr, SeriesView(series, bars), period)
        update_adx(taken.adx, SeriesView(series, bars), period)
        span = true_range(series.high, series.low, before[2])
        up, down = series.high - before[0], before[1] - series.low
        if row == 0:
            begin_atr(atr)
            begin_adx(adx)
        else:
            fold_atr(atr, row, span, period)
            fold_adx(adx, row, up, down, span, period)
        assert astuple(taken.atr)[3:] == astuple(atr)[3:], row
        assert astuple(taken.adx)[3:] == astuple(adx)[3:], row
        if row == 600:
            update_atr(late.atr, SeriesView(series, bars), period)
            _fold_from(late.atr.first, row, bars, atr_late, period)
            assert late.atr.first > 0
            assert astuple(late.atr)[3:] == astuple(atr_late)[3:]


def _fold_from(first: int, last: int, bars: list[Bar], atr: Atr, period: int) -> None:
    """Fold what the ring holds from a row on."""
    begin_atr(atr)
    for row in range(first + 1, last + 1):
        bar, before = bars[row & 511], bars[(row - 1) & 511]
        fold_atr(atr, row - first, true_range(bar.high, bar.low, before.close), period)
