"""From base candles to the candles of a timeframe, and their regime.

A candle of a higher timeframe exists only if every base candle of its interval arrived, and it completes with the
last of them. A hole longer than the gap reset makes a series start over.

Series of 1h and longer tolerate holes: a candle of theirs exists if at least 90 % of its base candles arrived. It
completes with the last of them or, where that is missing, before the first base candle behind it. Such a series starts
over only after a hole that is also longer than `GAP_CANDLES_MAX` of its candles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.engine.kernel.codes import (
    HIGH_VOLATILITY,
    LOW_VOLATILITY,
    RANGING,
    REGIME_UNKNOWN,
    TRENDING_DOWN,
    TRENDING_UP,
)
from papertape.engine.kernel.indicators.progress import RENEWAL_MASK
from papertape.engine.kernel.indicators.wilder import (
    REGIME_PERIOD,
    begin_adx,
    begin_atr,
    fold_adx,
    fold_atr,
    true_range,
)
from papertape.events.units import SERIES_MS

if TYPE_CHECKING:
    from papertape.engine.kernel.state import Bars, Fact, Needs, Series
    from papertape.engine.kernel.view import SeriesView

ATR_MEAN_CANDLES = 20
REGIME_READY_ROW = REGIME_PERIOD + ATR_MEAN_CANDLES - 1


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
    """Turn the forming candle, of which enough arrived, into the last complete one, and update its regime."""
    row, mask, atr = series.row + 1, len(bars) - 1, series.atr
    high, low = series.forming_high, series.forming_low
    if row == 0:
        begin_atr(atr)
        begin_adx(series.adx)
        series.atr_sum, series.atr_mean = 0.0, 0.0
    else:
        span = true_range(high, low, series.close)
        fold_atr(atr, row, span, REGIME_PERIOD)
        fold_adx(series.adx, row, high - series.high, series.low - low, span, REGIME_PERIOD)
    series.row = row
    series.open = series.forming_open
    series.high = high
    series.low = low
    series.close = close
    series.volume = series.forming_volume
    bar = bars[row & mask]
    bar.high, bar.low = high, low
    bar.close, bar.volume = close, series.volume
    bar.atr = atr.value
    if row >= REGIME_PERIOD:
        _update_atr_mean(series, bars, row, mask)
    regime = classify_regime(series)
    if series.regime != regime:
        series.regime = regime
        series.turbulent = 1 if regime == HIGH_VOLATILITY else 0


def note_bar(series: Series, bars: Bars) -> None:
    """Write the last complete candle to its row of the history."""
    bar = bars[series.row & (len(bars) - 1)]
    bar.high = series.high
    bar.low = series.low
    bar.close = series.close
    bar.volume = series.volume
    bar.atr = series.atr.value


def _update_atr_mean(series: Series, bars: Bars, row: int, mask: int) -> None:
    """Update the mean of the last ATR_MEAN_CANDLES true ranges, ready at REGIME_READY_ROW."""
    total = series.atr_sum + series.atr.value
    if row > REGIME_READY_ROW:
        total -= bars[(row - ATR_MEAN_CANDLES) & mask].atr
        if row & RENEWAL_MASK == 0:
            total = 0.0
            for k in range(row - ATR_MEAN_CANDLES + 1, row + 1):
                total += bars[k & mask].atr
    series.atr_sum = total
    series.atr_mean = total / ATR_MEAN_CANDLES


def known_candles(series: Series) -> int:
    """Return the complete candles since the start of the series, or of its history if that was lengthened since."""
    return series.row + 1 - series.oldest_row


def is_ready(series: tuple[SeriesView, ...], needs: Needs) -> bool:
    """Return whether every series has the complete candles that a strategy needs before it may enter."""
    least = needs.candles
    for one in series:
        candle = one.candle
        if candle.row + 1 - candle.oldest_row < least:
            return False
        least = needs.filter_candles
    return True


def classify_regime(series: Series) -> int:
    """Return the first regime that fits the series; it is unknown until the mean of the ATR is ready."""
    if series.row < REGIME_READY_ROW:
        return REGIME_UNKNOWN
    atr, mean, adx = series.atr.value, series.atr_mean, series.adx
    if atr > 2.0 * mean:
        return HIGH_VOLATILITY
    if atr < 0.5 * mean:
        return LOW_VOLATILITY
    if adx.value <= 25.0 or adx.plus_di == adx.minus_di:
        return RANGING
    return TRENDING_UP if adx.plus_di > adx.minus_di else TRENDING_DOWN


def reset_series(series: Series) -> None:
    """Start the series over: nothing built from candles before a long hole is used after it.

    What is folded over it starts over by itself, with row 0.
    """
    series.row = -1
    series.oldest_row = 0
    series.turbulent = 0
    series.regime = 0
    series.missing = 0
    series.end_ms = -1
    series.next_ms = -1
