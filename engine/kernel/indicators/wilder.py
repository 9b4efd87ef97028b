"""Wilder's indicators, and the trends built on his average true range.

Formulas and seeds: J. Welles Wilder, "New Concepts in Technical Trading Systems" (1978), started as TA-Lib starts
them. Recursions are evaluated exactly as written.

A series folds two of them for its regime. An indicator of the same period that began with the series' first candle
would come to the same numbers, so it copies them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.engine.kernel.indicators.averages import update_ema
from papertape.engine.kernel.indicators.progress import next_row

if TYPE_CHECKING:
    from papertape.engine.kernel.indicators.structs import Adx, Atr, Keltner, Rsi, Supertrend
    from papertape.engine.kernel.state import Bar
    from papertape.engine.kernel.view import SeriesView

REGIME_PERIOD = 14
"""The period of the true range and the directional movement that make a series' regime."""


def update_rsi(rsi: Rsi, series: SeriesView, period: int) -> None:
    """Fold Wilder's relative strength index; it is 50 when nothing moved, where TA-Lib's RSI is 0.

    Ready at candle `period + 1`; equals TA-Lib's RSI otherwise.
    """
    row = next_row(rsi, series, period)
    if row < 0:
        return
    first, last, bars = rsi.first, rsi.row, series.bars
    mask = len(bars) - 1
    if row == first:
        rsi.average_gain, rsi.average_loss, rsi.value = 0.0, 0.0, 0.0
        row += 1
    gains, losses, seeded, kept = rsi.average_gain, rsi.average_loss, first + period, period - 1.0
    while row <= last:
        change = bars[row & mask].close - bars[(row - 1) & mask].close
        gain = change if change > 0.0 else 0.0
        loss = gain - change
        if row > seeded:
            gains = (gains * kept + gain) / period
            losses = (losses * kept + loss) / period
        else:
            gains += gain
            losses += loss
            if row == seeded:
                gains, losses = gains / period, losses / period
                rsi.ready = 1
        row += 1
    rsi.average_gain, rsi.average_loss = gains, losses
    if rsi.ready == 1:
        moved = gains + losses
        rsi.value = 100.0 * (gains / moved) if moved > 0.0 else 50.0


def true_range(high: float, low: float, previous_close: float) -> float:
    """Return the range of a candle, extended to the close before it."""
    top = high if high > previous_close else previous_close
    return top - (low if low < previous_close else previous_close)


def update_atr(atr: Atr, series: SeriesView, period: int) -> None:
    """Fold Wilder's average true range. Ready at candle `period + 1`; equals TA-Lib's ATR."""
    row = next_row(atr, series, period)
    if row < 0:
        return
    if period == REGIME_PERIOD and atr.first == 0:
        same = series.candle.atr
        atr.value = same.value
        if atr.ready == 0:
            atr.total, atr.ready = same.total, same.ready
        return
    first, last, bars = atr.first, atr.row, series.bars
    mask = len(bars) - 1
    if row == first:
        begin_atr(atr)
        row += 1
    while row <= last:
        bar = bars[row & mask]
        fold_atr(atr, row - first, true_range(bar.high, bar.low, bars[(row - 1) & mask].close), period)
        row += 1


def begin_atr(atr: Atr) -> None:
    """Start over: the next candle is the first one."""
    atr.total, atr.value = 0.0, 0.0
    atr.ready = 0


def fold_atr(atr: Atr, age: int, span: float, period: int) -> None:
    """Fold the true range of one candle; `age` counts from 0 at the first candle, which has none."""
    if age > period:
        atr.value = (atr.value * (period - 1.0) + span) / period
        return
    atr.total += span
    if age == period:
        atr.value = atr.total / period
        atr.ready = 1


def update_adx(adx: Adx, series: SeriesView, period: int) -> None:
    """Fold Wilder's directional movement. An undefined DX leaves the index unchanged.

    The indicators are ready at candle `period + 1`, the index at candle `2 * period`; they equal TA-Lib's PLUS_DI,
    MINUS_DI and ADX.
    """
    row = next_row(adx, series, 2 * period)
    if row < 0:
        return
    if period == REGIME_PERIOD and adx.first == 0:
        same = series.candle.adx
        adx.plus_sum, adx.minus_sum, adx.range_sum = same.plus_sum, same.minus_sum, same.range_sum
        adx.plus_di, adx.minus_di, adx.value = same.plus_di, same.minus_di, same.value
        if adx.ready == 0:
            adx.dx_sum, adx.di_ready, adx.ready = same.dx_sum, same.di_ready, same.ready
        return
    first, last, bars = adx.first, adx.row, series.bars
    mask = len(bars) - 1
    if row == first:
        begin_adx(adx)
        row += 1
    while row <= last:
        bar, before = bars[row & mask], bars[(row - 1) & mask]
        span = true_range(bar.high, bar.low, before.close)
        fold_adx(adx, row - first, bar.high - before.high, before.low - bar.low, span, period)
        row += 1


def begin_adx(adx: Adx) -> None:
    """Start over: the next candle is the first one."""
    adx.plus_sum, adx.minus_sum, adx.range_sum, adx.dx_sum = 0.0, 0.0, 0.0, 0.0
    adx.plus_di, adx.minus_di, adx.value = 0.0, 0.0, 0.0
    adx.di_ready, adx.ready = 0, 0


def fold_adx(adx: Adx, age: int, up: float, down: float, span: float, period: int) -> None:
    """Fold the rise of the high, the fall of the low and the true range of one candle; `age` as in `fold_atr`."""
    plus, minus = 0.0, 0.0
    if up > down:
        if up > 0.0:
            plus = up
    elif down > up and down > 0.0:
        minus = down
    if age < period:
        adx.plus_sum += plus
        adx.minus_sum += minus
        adx.range_sum += span
        return
    ranges = adx.range_sum - adx.range_sum / period + span
    plus += adx.plus_sum - adx.plus_sum / period
    minus += adx.minus_sum - adx.minus_sum / period
    adx.plus_sum, adx.minus_sum, adx.range_sum = plus, minus, ranges
    if ranges > 0.0:
        plus, minus = 100.0 * (plus / ranges), 100.0 * (minus / ranges)
    else:
        plus, minus = 0.0, 0.0
    adx.plus_di, adx.minus_di = plus, minus
    total = plus + minus
    apart = plus - minus if plus > minus else minus - plus
    dx = 100.0 * (apart / total) if total > 0.0 else 0.0
    if age < 2 * period:
        adx.di_ready = 1
        adx.dx_sum += dx
        if age == 2 * period - 1:
            adx.value = adx.dx_sum / period
            adx.ready = 1
    elif total > 0.0:
        adx.value = (adx.value * (period - 1.0) + dx) / period


def update_keltner(keltner: Keltner, series: SeriesView, period: int, atr_period: int, width: float) -> None:
    """Fold Keltner's channel: the exponential average of the close, `width` average true ranges to either side.

    Ready when both averages are.
    """
    update_ema(keltner.ema, series, period)
    update_atr(keltner.atr, series, atr_period)
    keltner.ready = keltner.ema.ready * keltner.atr.ready
    if keltner.ready == 1:
        reach = width * keltner.atr.value
        keltner.middle = keltner.ema.value
        keltner.upper = keltner.ema.value + reach
        keltner.lower = keltner.ema.value - reach
    else:
        keltner.middle, keltner.upper, keltner.lower = 0.0, 0.0, 0.0


def update_supertrend(trend: Supertrend, series: SeriesView, atr_period: int, width: float) -> None:
    """Fold the trend that ends when the close leaves a band of `width` average true ranges around (high + low) / 2.

    Each band only moves towards the price until a close lies beyond it; the trend begins as a falling one. Ready at
    candle `atr_period + 1`. Changing the width alone keeps the bands, which adapt.
    """
    start = next_row(trend, series, atr_period)
    if start < 0:
        return
    if start == trend.first:
        begin_atr(trend.atr)
        trend.upper, trend.lower, trend.value = 0.0, 0.0, 0.0
        trend.side = 0
    bars = series.bars
    mask = len(bars) - 1
    for row in range(start, trend.row + 1):
        if row > trend.first:
            bar, previous_close = bars[row & mask], bars[(row - 1) & mask].close
            fold_atr(trend.atr, row - trend.first, true_range(bar.high, bar.low, previous_close), atr_period)
            if row - trend.first >= atr_period:
                _fold_bands(trend, bar, previous_close, width * trend.atr.value)
                trend.ready = 1


def _fold_bands(trend: Supertrend, bar: Bar, previous_close: float, reach: float) -> None:
    """Move the bands by one candle, and turn the trend if the close lies beyond the one that holds it."""
    middle = (bar.high + bar.low) / 2.0
    upper, lower = middle + reach, middle - reach
    if trend.side == 0 or upper < trend.upper or previous_close > trend.upper:
        trend.upper = upper
    if trend.side == 0 or lower > trend.lower or previous_close < trend.lower:
        trend.lower = lower
    if trend.side > 0:
        trend.side = -1 if bar.close < trend.lower else 1
    elif trend.side < 0:
        trend.side = 1 if bar.close > trend.upper else -1
    else:
        trend.side = -1
    trend.value = trend.lower if trend.side > 0 else trend.upper
