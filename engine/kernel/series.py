"""From base candles to the candles of a timeframe, and their indicators.

A candle of a higher timeframe exists only if every base candle of its interval arrived, and it completes with the
last of them. A hole longer than the gap reset makes a series start over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.engine.kernel.codes import HIGH_VOLATILITY
from papertape.engine.kernel.indicators import (
    classify_regime,
    true_range,
    update_adx,
    update_atr,
    update_rsi,
    update_volume_average,
    update_vwap,
)
from papertape.engine.kernel.state import HISTORY_MASK

if TYPE_CHECKING:
    from papertape.engine.kernel.state import Adx, Atr, Bars, Fact, Rsi, Series


def observe_series(series: Series, bars: Bars, fact: Fact, reset: int) -> None:
    """Add a base candle to a series; `completed` says whether it completed a candle of the series."""
    if reset == 1:
        reset_series(series)
    # Most candles change neither, and in CPython reading costs half as much as writing.
    if series.turbulent_at_open != series.turbulent:
        series.turbulent_at_open = series.turbulent
    if series.completed == 1:
        series.completed = 0
    open_ms, close_ms, high, low = fact.open_time_ms, fact.time_ms, fact.high, fact.low
    if open_ms == series.next_ms and open_ms < series.end_ms:
        if high > series.forming_high:
            series.forming_high = high
        if low < series.forming_low:
            series.forming_low = low
        series.forming_volume += fact.volume
    else:
        _begin_candle(series, fact)
    series.next_ms = close_ms
    if close_ms == series.end_ms and series.whole == 1:
        series.completed = 1
        complete_candle(series, bars, fact.close)


def _begin_candle(series: Series, fact: Fact) -> None:
    """Start a candle; one that starts late in its interval or continues after a hole never completes."""
    if fact.open_time_ms != series.end_ms:
        series.end_ms = fact.open_time_ms - fact.open_time_ms % series.timeframe_ms
    series.whole = 1 if fact.open_time_ms == series.end_ms else 0
    series.end_ms += series.timeframe_ms
    series.forming_open = fact.open
    series.forming_high = fact.high
    series.forming_low = fact.low
    series.forming_volume = fact.volume


def complete_candle(series: Series, bars: Bars, close: float) -> None:
    """Turn the forming candle, which is whole, into the last complete one, and update every indicator."""
    row = series.row + 1
    high, low = series.forming_high, series.forming_low
    bar = bars[row & HISTORY_MASK]
    bar.high = high
    bar.low = low
    bar.close = close
    bar.volume = series.forming_volume
    if row > 0:
        span = true_range(high, low, series.close)
        update_rsi(series.rsi, row, close - series.close)
        update_atr(series.atr, row, span, bars)
        update_adx(series.adx, row, high - series.high, series.low - low, span)
    bar.atr = series.atr.value
    series.row = row
    series.open = series.forming_open
    series.high = high
    series.low = low
    series.close = close
    series.volume = series.forming_volume
    update_vwap(series.vwap, row, bars)
    update_volume_average(series.volume_average, row, bars)
    series.regime = classify_regime(series)
    series.turbulent = 1 if series.regime == HIGH_VOLATILITY else 0


def reset_series(series: Series) -> None:
    """Start the series over: nothing built from candles before a long hole is used after it."""
    series.row = -1
    series.turbulent = 0
    series.regime = 0
    series.whole = 0
    series.end_ms = -1
    series.next_ms = -1
    series.vwap.turnover_sum = 0.0
    series.vwap.volume_sum = 0.0
    series.vwap.traded = 0
    series.vwap.value = 0.0
    series.volume_average.volume_sum = 0.0
    series.volume_average.traded = 0
    series.volume_average.value = 0.0
    _reset_wilder(series.rsi, series.atr, series.adx)


def _reset_wilder(rsi: Rsi, atr: Atr, adx: Adx) -> None:
    """Start Wilder's recursions over."""
    rsi.average_gain = 0.0
    rsi.average_loss = 0.0
    rsi.value = 0.0
    atr.value = 0.0
    atr.sum_20 = 0.0
    atr.sma = 0.0
    adx.plus_sum = 0.0
    adx.minus_sum = 0.0
    adx.range_sum = 0.0
    adx.plus_di = 0.0
    adx.minus_di = 0.0
    adx.dx_sum = 0.0
    adx.value = 0.0
