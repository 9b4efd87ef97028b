"""Indicators by Wilder's and TA-Lib's conventions, each a fold over the rows of one series.

Rows count from 0. Formulas and seeds: J. Welles Wilder, "New Concepts in Technical Trading Systems" (1978), started as
TA-Lib starts them. Recursions are evaluated exactly as written; window sums are running sums, as only comparisons
depend on them.
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
from papertape.engine.kernel.state import HISTORY_MASK

if TYPE_CHECKING:
    from papertape.engine.kernel.state import Adx, Atr, Bars, Extreme, Rsi, Series, VolumeAverage, Vwap

RSI_READY_ROW = 14
ATR_READY_ROW = 14
ATR_SMA_READY_ROW = 33
DI_READY_ROW = 14
ADX_READY_ROW = 27
VWAP_CANDLES = 288
VWAP_READY_ROW = VWAP_CANDLES - 1
VOLUME_CANDLES = 20
VOLUME_READY_ROW = VOLUME_CANDLES - 1
REGIME_READY_ROW = ATR_SMA_READY_ROW


def update_rsi(rsi: Rsi, row: int, change: float) -> None:
    """Add the change of the close at `row`; RSI is 50 when nothing moved."""
    gain = change if change > 0.0 else 0.0
    loss = -change if change < 0.0 else 0.0
    if row > RSI_READY_ROW:
        rsi.average_gain = (rsi.average_gain * 13.0 + gain) / 14.0
        rsi.average_loss = (rsi.average_loss * 13.0 + loss) / 14.0
    elif row > 0:
        rsi.average_gain += gain
        rsi.average_loss += loss
        if row == RSI_READY_ROW:
            rsi.average_gain = rsi.average_gain / 14.0
            rsi.average_loss = rsi.average_loss / 14.0
    if row >= RSI_READY_ROW:
        moved = rsi.average_gain + rsi.average_loss
        rsi.value = 100.0 * (rsi.average_gain / moved) if moved > 0.0 else 50.0


def true_range(high: float, low: float, previous_close: float) -> float:
    """Return the largest of high - low, |high - previous close| and |low - previous close|."""
    return max(high - low, abs(high - previous_close), abs(low - previous_close))


def update_atr(atr: Atr, row: int, span: float, bars: Bars) -> None:
    """Add the true range `span` of `row`; the mean drops the value of 20 rows ago."""
    if row < ATR_READY_ROW:
        if row > 0:
            atr.value += span
        return
    if row == ATR_READY_ROW:
        atr.value = (atr.value + span) / 14.0
    else:
        atr.value = (atr.value * 13.0 + span) / 14.0
    atr.sum_20 += atr.value
    if row > ATR_SMA_READY_ROW:
        atr.sum_20 -= bars[(row - 20) & HISTORY_MASK].atr
    atr.sma = atr.sum_20 / 20.0


def update_adx(adx: Adx, row: int, up: float, down: float, span: float) -> None:
    """Add the rise of the high, the fall of the low and the true range of `row`."""
    if row == 0:
        return
    plus = up if up > down and up > 0.0 else 0.0
    minus = down if down > up and down > 0.0 else 0.0
    if row < DI_READY_ROW:
        adx.plus_sum += plus
        adx.minus_sum += minus
        adx.range_sum += span
        return
    adx.plus_sum = adx.plus_sum - adx.plus_sum / 14.0 + plus
    adx.minus_sum = adx.minus_sum - adx.minus_sum / 14.0 + minus
    adx.range_sum = adx.range_sum - adx.range_sum / 14.0 + span
    adx.plus_di = 100.0 * (adx.plus_sum / adx.range_sum) if adx.range_sum > 0.0 else 0.0
    adx.minus_di = 100.0 * (adx.minus_sum / adx.range_sum) if adx.range_sum > 0.0 else 0.0
    _update_adx_value(adx, row)


def _update_adx_value(adx: Adx, row: int) -> None:
    """Update the index: the mean of the first 14 DX, then Wilder's smoothing; an undefined DX leaves it unchanged."""
    total = adx.plus_di + adx.minus_di
    dx = 100.0 * (abs(adx.plus_di - adx.minus_di) / total) if total > 0.0 else 0.0
    if row <= ADX_READY_ROW:
        adx.dx_sum += dx
        if row == ADX_READY_ROW:
            adx.value = adx.dx_sum / 14.0
    elif total > 0.0:
        adx.value = (adx.value * 13.0 + dx) / 14.0


def update_vwap(vwap: Vwap, row: int, bars: Bars) -> None:
    """Add the bar of `row` and drop that of 288 rows before; the VWAP is 0 while nothing was traded."""
    bar = bars[row & HISTORY_MASK]
    if bar.volume > 0.0:
        vwap.turnover_sum += (bar.high + bar.low + bar.close) / 3.0 * bar.volume
        vwap.volume_sum += bar.volume
        vwap.traded += 1
    if row >= VWAP_CANDLES:
        old = bars[(row - VWAP_CANDLES) & HISTORY_MASK]
        if old.volume > 0.0:
            vwap.turnover_sum -= (old.high + old.low + old.close) / 3.0 * old.volume
            vwap.volume_sum -= old.volume
            vwap.traded -= 1
    if vwap.traded == 0:
        vwap.turnover_sum = 0.0
        vwap.volume_sum = 0.0
        vwap.value = 0.0
    else:
        vwap.value = vwap.turnover_sum / vwap.volume_sum


def update_volume_average(average: VolumeAverage, row: int, bars: Bars) -> None:
    """Add the volume of `row` and drop that of 20 rows before."""
    volume = bars[row & HISTORY_MASK].volume
    if volume > 0.0:
        average.volume_sum += volume
        average.traded += 1
    if row >= VOLUME_CANDLES:
        old = bars[(row - VOLUME_CANDLES) & HISTORY_MASK].volume
        if old > 0.0:
            average.volume_sum -= old
            average.traded -= 1
    if average.traded == 0:
        average.volume_sum = 0.0
    average.value = average.volume_sum / 20.0


def roll_highest(highest: Extreme, bars: Bars, row: int, lookback: int) -> None:
    """Track the highest high of the `lookback` candles before `row`, defined from row `lookback` on."""
    if highest.row < row - lookback or highest.lookback != lookback:
        _rescan_highest(highest, bars, row, lookback)
    elif row > 0 and (bars[(row - 1) & HISTORY_MASK].high >= highest.value or row == 1):
        highest.value = bars[(row - 1) & HISTORY_MASK].high
        highest.row = row - 1


def _rescan_highest(highest: Extreme, bars: Bars, row: int, lookback: int) -> None:
    """Search the whole window: the old highest left it, or its length changed."""
    highest.lookback = lookback
    highest.row = max(0, row - lookback)
    highest.value = bars[highest.row & HISTORY_MASK].high
    for k in range(highest.row + 1, row):
        if bars[k & HISTORY_MASK].high >= highest.value:
            highest.value = bars[k & HISTORY_MASK].high
            highest.row = k


def roll_lowest(lowest: Extreme, bars: Bars, row: int, lookback: int) -> None:
    """Track the lowest low of the `lookback` candles before `row`, defined from row `lookback` on."""
    if lowest.row < row - lookback or lowest.lookback != lookback:
        _rescan_lowest(lowest, bars, row, lookback)
    elif row > 0 and (bars[(row - 1) & HISTORY_MASK].low <= lowest.value or row == 1):
        lowest.value = bars[(row - 1) & HISTORY_MASK].low
        lowest.row = row - 1


def _rescan_lowest(lowest: Extreme, bars: Bars, row: int, lookback: int) -> None:
    """Search the whole window: the old lowest left it, or its length changed."""
    lowest.lookback = lookback
    lowest.row = max(0, row - lookback)
    lowest.value = bars[lowest.row & HISTORY_MASK].low
    for k in range(lowest.row + 1, row):
        if bars[k & HISTORY_MASK].low <= lowest.value:
            lowest.value = bars[k & HISTORY_MASK].low
            lowest.row = k


def is_volume_spike(volume: float, average: VolumeAverage, multiplier: float) -> bool:
    """Return whether a candle's volume exceeds a multiple of the mean of the last 20."""
    return volume > multiplier * average.value and volume > 0.0


def classify_regime(series: Series) -> int:
    """Return the first regime that fits the series; it is unknown until the mean of the ATR is ready."""
    if series.row < REGIME_READY_ROW:
        return REGIME_UNKNOWN
    atr, adx = series.atr, series.adx
    if atr.value > 2.0 * atr.sma:
        return HIGH_VOLATILITY
    if atr.value < 0.5 * atr.sma:
        return LOW_VOLATILITY
    if adx.value > 25.0 and adx.plus_di > adx.minus_di:
        return TRENDING_UP
    if adx.value > 25.0 and adx.minus_di > adx.plus_di:
        return TRENDING_DOWN
    return RANGING
