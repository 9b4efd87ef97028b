"""How far closes lie from their mean, and where they are heading.

Sums are taken of distances from an origin near the price, so that no digits are lost, and are renewed like those of
`averages`; the deviation is computed anew from the ring where what left the window was so much larger than what is in
it that digits would be missing.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

from papertape.engine.kernel.indicators.progress import next_row

if TYPE_CHECKING:
    from papertape.engine.kernel.indicators.structs import Bollinger, Slope, StandardDeviation, ZScore
    from papertape.engine.kernel.state import Bars
    from papertape.engine.kernel.view import SeriesView

LOST_DIGITS_RATIO = 1_000.0
"""Squares that were so much larger than their spread is now have cost it three of sixteen digits."""


def update_standard_deviation(deviation: StandardDeviation, series: SeriesView, period: int) -> None:
    """Fold mean and standard deviation (divided by `period`) of the last `period` closes.

    Ready at candle `period`; equals TA-Lib's STDDEV, which loses digits at high prices.
    """
    start = next_row(deviation, series, period)
    if start < 0:
        return
    bars = series.bars
    mask, full = len(bars) - 1, deviation.first + period
    if start == deviation.first:
        _begin_deviation(deviation, start, bars[start & mask].close, period)
    for row in range(start, deviation.row + 1):
        _fold_deviation(deviation, row, row >= full, bars, period)
    if deviation.row >= full - 1:
        spread = deviation.squares - deviation.total * deviation.total / period
        if spread * LOST_DIGITS_RATIO < deviation.squares_max:
            _renew_deviation(deviation, bars, period)
            spread = deviation.squares - deviation.total * deviation.total / period
        deviation.ready = 1
        deviation.mean = deviation.origin + deviation.total / period
        deviation.value = sqrt(spread / period) if spread > 0.0 else 0.0


def _begin_deviation(deviation: StandardDeviation, row: int, close: float, period: int) -> None:
    """Start over at a row."""
    deviation.origin, deviation.fresh_origin = close, close
    deviation.total, deviation.squares, deviation.squares_max = 0.0, 0.0, 0.0
    deviation.fresh_total, deviation.fresh_squares = 0.0, 0.0
    deviation.value, deviation.mean = 0.0, 0.0
    deviation.turn = row + period - 1


def _fold_deviation(deviation: StandardDeviation, row: int, full: bool, bars: Bars, period: int) -> None:
    """Add the close of a row, and drop the one that leaves a window that was full."""
    mask = len(bars) - 1
    close = bars[row & mask].close
    added, fresh = close - deviation.origin, close - deviation.fresh_origin
    deviation.total += added
    deviation.squares += added * added
    deviation.fresh_total += fresh
    deviation.fresh_squares += fresh * fresh
    deviation.squares_max = max(deviation.squares_max, deviation.squares)
    if full:
        dropped = bars[(row - period) & mask].close - deviation.origin
        deviation.total -= dropped
        deviation.squares -= dropped * dropped
    if row == deviation.turn:
        deviation.origin = deviation.fresh_origin
        deviation.total, deviation.squares = deviation.fresh_total, deviation.fresh_squares
        deviation.squares_max = deviation.squares
        deviation.fresh_origin, deviation.fresh_total, deviation.fresh_squares = close, 0.0, 0.0
        deviation.turn += period


def _renew_deviation(deviation: StandardDeviation, bars: Bars, period: int) -> None:
    """Take both sums anew from the ring, around the newest close."""
    mask = len(bars) - 1
    deviation.origin = bars[deviation.row & mask].close
    deviation.total, deviation.squares = 0.0, 0.0
    for row in range(deviation.row - period + 1, deviation.row + 1):
        distance = bars[row & mask].close - deviation.origin
        deviation.total += distance
        deviation.squares += distance * distance
    deviation.squares_max = deviation.squares


def update_bollinger(bollinger: Bollinger, series: SeriesView, period: int, width: float) -> None:
    """Fold Bollinger's bands: the mean, and `width` standard deviations to either side.

    Ready at candle `period`; equals TA-Lib's BBANDS.
    """
    deviation = bollinger.deviation
    update_standard_deviation(deviation, series, period)
    bollinger.ready = deviation.ready
    if deviation.ready == 1:
        reach = width * deviation.value
        bollinger.middle = deviation.mean
        bollinger.upper = deviation.mean + reach
        bollinger.lower = deviation.mean - reach
    else:
        bollinger.middle, bollinger.upper, bollinger.lower = 0.0, 0.0, 0.0


def update_z_score(score: ZScore, series: SeriesView, period: int) -> None:
    """Fold (close - mean) / standard deviation of the last `period` closes; 0 when nothing moved.

    Ready at candle `period`.
    """
    deviation = score.deviation
    update_standard_deviation(deviation, series, period)
    score.ready = deviation.ready
    score.value = 0.0
    if deviation.ready == 1 and deviation.value > 0.0:
        score.value = (series.candle.close - deviation.mean) / deviation.value


def update_slope(slope: Slope, series: SeriesView, period: int) -> None:
    """Fold the slope of the least-squares line through the last `period` closes, in USDT a candle; `period` >= 2.

    Ready at candle `period`; equals TA-Lib's LINEARREG_SLOPE.
    """
    start = next_row(slope, series, period if period > 1 else 0)
    if start < 0:
        return
    bars = series.bars
    mask, full = len(bars) - 1, slope.first + period
    if start == slope.first:
        slope.origin = slope.fresh_origin = bars[start & mask].close
        slope.total, slope.weighted, slope.fresh_total, slope.fresh_weighted, slope.value = 0.0, 0.0, 0.0, 0.0, 0.0
        slope.turn = start + period - 1
    for row in range(start, slope.row + 1):
        _fold_slope(slope, row, row >= full, bars, period)
    if slope.row >= full - 1:
        slope.ready = 1
        centred = slope.weighted - slope.total * (period + 1) / 2.0
        slope.value = centred * 12.0 / (period * (period * period - 1.0))


def _fold_slope(slope: Slope, row: int, full: bool, bars: Bars, period: int) -> None:
    """Add the close of a row, with the weight `period`, and take 1 from the weight of every older one."""
    mask = len(bars) - 1
    close = bars[row & mask].close
    fresh = close - slope.fresh_origin
    slope.fresh_total += fresh
    slope.fresh_weighted += fresh * (period - slope.turn + row)
    if full:
        added = close - slope.origin
        slope.weighted += added * period - slope.total
        slope.total += added - (bars[(row - period) & mask].close - slope.origin)
    if row == slope.turn:
        slope.origin, slope.total, slope.weighted = slope.fresh_origin, slope.fresh_total, slope.fresh_weighted
        slope.fresh_origin, slope.fresh_total, slope.fresh_weighted = close, 0.0, 0.0
        slope.turn += period
