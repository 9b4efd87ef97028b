"""Indicators that compare the newest candle with each one of a window: they read the window, so they cost its length.

The percentile reads it only when its value moves to another close.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.engine.kernel.indicators.progress import next_row

if TYPE_CHECKING:
    from papertape.engine.kernel.indicators.structs import Cci, Percentile, PercentRank
    from papertape.engine.kernel.state import Bar, Bars
    from papertape.engine.kernel.view import SeriesView


def typical_price(bar: Bar) -> float:
    """Return (high + low + close) / 3."""
    return (bar.high + bar.low + bar.close) / 3.0


def update_cci(cci: Cci, series: SeriesView, period: int) -> None:
    """Fold (typical price - its mean) / (0.015 * its mean absolute deviation) of the last `period` candles.

    It is 0 where nothing deviates. Ready at candle `period`; equals TA-Lib's CCI.
    """
    start = next_row(cci, series, period)
    if start < 0:
        return
    cci.value = 0.0
    row = cci.row
    if row < cci.first + period - 1:
        return
    cci.ready = 1
    bars = series.bars
    mask = len(bars) - 1
    total = 0.0
    for k in range(row - period + 1, row + 1):
        total += typical_price(bars[k & mask])
    mean, away = total / period, 0.0
    for k in range(row - period + 1, row + 1):
        away += abs(typical_price(bars[k & mask]) - mean)
    if away > 0.0:
        cci.value = (typical_price(bars[row & mask]) - mean) / (0.015 * (away / period))


def update_percent_rank(rank: PercentRank, series: SeriesView, period: int) -> None:
    """Fold the share, in percent, of the `period` closes before this one that are not above it.

    Ready at candle `period + 1`.
    """
    start = next_row(rank, series, period)
    if start < 0:
        return
    rank.value = 0.0
    row = rank.row
    if row < rank.first + period:
        return
    rank.ready = 1
    bars = series.bars
    mask = len(bars) - 1
    close, count = bars[row & mask].close, 0
    for k in range(row - period, row):
        if bars[k & mask].close <= close:
            count += 1
    rank.value = 100.0 * count / period


def update_percentile(percentile: Percentile, series: SeriesView, period: int, percent: float) -> None:
    """Fold the smallest of the last `period` closes that at least `percent` % of them do not exceed (nearest rank).

    Ready at candle `period`.
    """
    start = next_row(percentile, series, period)
    if start < 0:
        return
    bars, first = series.bars, percentile.first
    mask = len(bars) - 1
    if start == first:
        percentile.pivot, percentile.below, percentile.equal = bars[start & mask].close, 0, 0
        percentile.value = 0.0
    for row in range(start, percentile.row + 1):
        _count_close(percentile, bars[row & mask].close, 1)
        if row >= first + period:
            _count_close(percentile, bars[(row - period) & mask].close, -1)
    oldest = max(first, percentile.row - period + 1)
    _move_pivot(percentile, bars, oldest, _nearest_rank(percent, percentile.row - oldest + 1))
    if percentile.row >= first + period - 1:
        percentile.ready = 1
        percentile.value = percentile.pivot


def _count_close(percentile: Percentile, close: float, change: int) -> None:
    """Count a close that enters (1) or leaves (-1) the window against the pivot."""
    if close < percentile.pivot:
        percentile.below += change
    elif close == percentile.pivot:
        percentile.equal += change


def _nearest_rank(percent: float, count: int) -> int:
    """Return the rank of a percentile among `count` values, from 1."""
    exact = percent / 100.0 * count
    rank = int(exact)
    if rank < exact:
        rank += 1
    return min(max(rank, 1), count)


def _move_pivot(percentile: Percentile, bars: Bars, oldest: int, rank: int) -> None:
    """Move the pivot from close to close until it is the one of this rank."""
    while percentile.below >= rank:
        _step_pivot(percentile, bars, oldest, -1.0)
    while percentile.below + percentile.equal < rank:
        _step_pivot(percentile, bars, oldest, 1.0)


def _step_pivot(percentile: Percentile, bars: Bars, oldest: int, side: float) -> None:
    """Make the nearest other close, above (1.0) or below (-1.0), the pivot; count how often it occurs."""
    mask = len(bars) - 1
    distance, count, close = 0.0, 0, percentile.pivot
    for k in range(oldest, percentile.row + 1):
        away = (bars[k & mask].close - percentile.pivot) * side
        if away > 0.0 and (count == 0 or away < distance):
            distance, count = away, 1
            close = bars[k & mask].close
        elif away > 0.0 and away == distance:
            count += 1
    if side > 0.0:
        percentile.below += percentile.equal
    else:
        percentile.below -= count
    percentile.equal, percentile.pivot = count, close
