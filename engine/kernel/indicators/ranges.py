"""Indicators of the range of highs and lows.

A range is searched again only when its high or low leaves the window: rarely in a market, at worst at every candle
of one that moves in a single direction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.engine.kernel.indicators.progress import next_row

if TYPE_CHECKING:
    from papertape.engine.kernel.indicators.structs import Donchian, Extremes, Stochastic, StochasticLine
    from papertape.engine.kernel.state import Bars
    from papertape.engine.kernel.view import SeriesView


def roll_extremes(extremes: Extremes, bars: Bars, row: int, oldest: int) -> None:
    """Move the window to `oldest .. row`, one row on; where `row` is `oldest`, it begins."""
    bar = bars[row & (len(bars) - 1)]
    if row == oldest or bar.high >= extremes.highest:
        extremes.highest = bar.high
        extremes.highest_row = row
    elif extremes.highest_row < oldest:
        _search_highest(extremes, bars, row, oldest)
    if row == oldest or bar.low <= extremes.lowest:
        extremes.lowest = bar.low
        extremes.lowest_row = row
    elif extremes.lowest_row < oldest:
        _search_lowest(extremes, bars, row, oldest)


def _search_highest(extremes: Extremes, bars: Bars, row: int, oldest: int) -> None:
    """Search the window for its highest high, the newest of equal ones."""
    mask = len(bars) - 1
    highest, highest_row = bars[oldest & mask].high, oldest
    for k in range(oldest + 1, row + 1):
        high = bars[k & mask].high
        if high >= highest:
            highest, highest_row = high, k
    extremes.highest, extremes.highest_row = highest, highest_row


def _search_lowest(extremes: Extremes, bars: Bars, row: int, oldest: int) -> None:
    """Search the window for its lowest low, the newest of equal ones."""
    mask = len(bars) - 1
    lowest, lowest_row = bars[oldest & mask].low, oldest
    for k in range(oldest + 1, row + 1):
        low = bars[k & mask].low
        if low <= lowest:
            lowest, lowest_row = low, k
    extremes.lowest, extremes.lowest_row = lowest, lowest_row


def update_donchian(donchian: Donchian, series: SeriesView, period: int) -> None:
    """Fold the channel of the last `period` candles, this one included, and the one before this candle.

    Ready at candle `period + 1`; the channel equals TA-Lib's MAX of the highs and MIN of the lows.
    """
    row = next_row(donchian, series, period)
    if row < 0:
        return
    first, last, bars, extremes = donchian.first, donchian.row, series.bars, donchian.extremes
    if row == first:
        donchian.upper, donchian.middle, donchian.lower = 0.0, 0.0, 0.0
    upper, lower = 0.0, 0.0
    while row <= last:
        upper, lower, oldest = extremes.highest, extremes.lowest, row - period + 1
        roll_extremes(extremes, bars, row, oldest if oldest > first else first)
        row += 1
    if last < first + period:
        upper, lower = 0.0, 0.0
    else:
        donchian.ready = 1
        donchian.upper = extremes.highest
        donchian.lower = extremes.lowest
        donchian.middle = (extremes.highest + extremes.lowest) / 2.0
    donchian.previous_upper, donchian.previous_lower = upper, lower


def update_stochastic(stochastic: Stochastic, series: SeriesView, period: int, smooth_k: int, smooth_d: int) -> None:
    """Fold the slow stochastic: where the close lies in the range of `period` candles, averaged twice.

    `k` is the mean of the last `smooth_k` raw values, `d` that of the last `smooth_d` of `k`; a raw value is 0 where
    the range is empty. Ready at candle `period + smooth_k + smooth_d - 2`; equals TA-Lib's STOCH.
    """
    if period != stochastic.period or smooth_k != stochastic.smooth_k or period < 1 or smooth_k < 1 or smooth_d < 1:
        stochastic.window = 0
        stochastic.period, stochastic.smooth_k = period, smooth_k
    valid = period >= 1 and smooth_k >= 1 and smooth_d >= 1
    start = next_row(stochastic, series, period + smooth_k + smooth_d if valid else 0)
    if start < 0:
        return
    first = stochastic.first
    known = first + period + smooth_k - 2  # The first row whose %K is defined.
    if start == first:
        stochastic.total, stochastic.fresh, stochastic.k, stochastic.d = 0.0, 0.0, 0.0, 0.0
        stochastic.turn = known + smooth_d - 1
        stochastic.line.total, stochastic.line.fresh, stochastic.line.turn = 0.0, 0.0, known
        stochastic.delayed.total, stochastic.delayed.fresh, stochastic.delayed.turn = 0.0, 0.0, known
    for row in range(start, stochastic.row + 1):
        _fold_line(stochastic.line, series.bars, row, first, period, smooth_k)
        _fold_line(stochastic.delayed, series.bars, row - smooth_d, first, period, smooth_k)
        if row >= known:
            stochastic.total += stochastic.line.value
            stochastic.fresh += stochastic.line.value
        if row - smooth_d >= known:
            stochastic.total -= stochastic.delayed.value
        if row == stochastic.turn:
            stochastic.total = stochastic.fresh
            stochastic.fresh = 0.0
            stochastic.turn += smooth_d
    if stochastic.row >= known + smooth_d - 1:
        stochastic.ready = 1
        stochastic.k = stochastic.line.value
        stochastic.d = stochastic.total / smooth_d


def _fold_line(line: StochasticLine, bars: Bars, row: int, first: int, period: int, smooth_k: int) -> None:
    """Move a smoothed %K to a row."""
    if row < first:
        return
    roll_extremes(line.entering, bars, row, max(first, row - period + 1))
    leaving = row - smooth_k
    if leaving >= first:
        roll_extremes(line.leaving, bars, leaving, max(first, leaving - period + 1))
    defined = first + period - 1
    if row >= defined:
        raw = _place(line.entering, bars[row & (len(bars) - 1)].close)
        line.total += raw
        line.fresh += raw
    if leaving >= defined:
        line.total -= _place(line.leaving, bars[leaving & (len(bars) - 1)].close)
    if row == line.turn:
        line.total = line.fresh
        line.fresh = 0.0
        line.turn += smooth_k
    line.value = line.total / smooth_k


def _place(extremes: Extremes, close: float) -> float:
    """Return where a close lies in a range, from 0 at its low to 100 at its high."""
    percent = (extremes.highest - extremes.lowest) / 100.0
    return (close - extremes.lowest) / percent if percent != 0.0 else 0.0
