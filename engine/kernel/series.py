"""From base candles to the candles of a timeframe, and their indicators.

A candle of a higher timeframe exists only if every base candle of its interval arrived, and it completes with the
last of them. A hole longer than the gap reset makes a series start over.

Series of 1h and longer tolerate holes: a candle of theirs exists if at least 90 % of its base candles arrived. It
completes with the last of them or, where that is missing, before the first base candle behind it. Such a series starts
over only after a hole that is also longer than `GAP_CANDLES_MAX` of its candles.
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
from papertape.events.units import SERIES_MS

if TYPE_CHECKING:
    from papertape.engine.kernel.state import Adx, Atr, Bars, Fact, Rsi, Series


TOLERANT_MS = SERIES_MS["1h"]
"""The timeframe from which on a series tolerates holes."""
GAP_CANDLES_MAX = 3


def observe_series(series: Series, bars: Bars, fact: Fact, reset: int) -> None:
    """Add a base candle to a series; `completed` says whether it completed a candle of the series.

    `reset` is 1 after a hole longer than the gap reset.
    """
    open_ms, close_ms, high, low = fact.open_time_ms, fact.time_ms, fact.high, fact.low
    if reset == 1 and is_too_old(series, open_ms):
        reset_series(series)
    # Most candles change neither, and in CPython reading costs half as much as writing.
    if series.completed == 1:
        series.completed = 0
    if series.missing_max > 0 and open_ms != series.next_ms:
        _close_hole(series, bars, open_ms)
    if series.turbulent_at_open != series.turbulent:
        series.turbulent_at_open = series.turbulent
    if open_ms < series.end_ms and (open_ms == series.next_ms or series.missing_max > 0):
        if high > series.forming_high:
            series.forming_high = high
        if low < series.forming_low:
            series.forming_low = low
        series.forming_volume += fact.volume
    else:
        _begin_candle(series, fact)
    series.next_ms = close_ms
    series.forming_close = fact.close
    if close_ms == series.end_ms and series.missing <= series.missing_max:
        series.completed = 1
        complete_candle(series, bars, fact.close)


def is_too_old(series: Series, open_ms: int) -> bool:
    """Return whether the hole before a base candle ends a series, given that it is longer than the gap reset."""
    return series.timeframe_ms < TOLERANT_MS or open_ms - series.next_ms > GAP_CANDLES_MAX * series.timeframe_ms


def missing_max(timeframe_ms: int, base_ms: int) -> int:
    """Return how many of its base candles a candle may lack: 10 % from 1h on, none below."""
    return timeframe_ms // base_ms // 10 if timeframe_ms >= TOLERANT_MS and base_ms > 0 else 0


def _close_hole(series: Series, bars: Bars, open_ms: int) -> None:
    """Count the base candles that are missing before this one; the candle whose end is among them completes now."""
    if series.next_ms >= series.end_ms:
        return
    missing_until_ms = min(open_ms, series.end_ms)
    series.missing += (missing_until_ms - series.next_ms) // series.base_ms
    series.next_ms = missing_until_ms
    if open_ms >= series.end_ms and series.missing <= series.missing_max:
        series.completed = 1
        complete_candle(series, bars, series.forming_close)


def _begin_candle(series: Series, fact: Fact) -> None:
    """Start a candle, and count the base candles of its interval that did not arrive before this one."""
    if fact.open_time_ms != series.end_ms:
        series.end_ms = fact.open_time_ms - fact.open_time_ms % series.timeframe_ms
    series.missing = (fact.open_time_ms - series.end_ms) // series.base_ms
    series.end_ms += series.timeframe_ms
    series.forming_open = fact.open
    series.forming_high = fact.high
    series.forming_low = fact.low
    series.forming_volume = fact.volume


def complete_candle(series: Series, bars: Bars, close: float) -> None:
    """Turn the forming candle, of which enough arrived, into the last complete one, and update every indicator."""
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
    series.missing = 0
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
