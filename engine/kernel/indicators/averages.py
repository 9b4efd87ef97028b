"""Averages of the close.

Window sums neither rescan nor drift: beside the running sum a fresh one is built by additions alone, and takes its
place each time a window has passed. A sum is therefore never older than two windows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.engine.kernel.indicators.progress import next_row

if TYPE_CHECKING:
    from papertape.engine.kernel.indicators.structs import Ema, Macd, Sma, Wma
    from papertape.engine.kernel.view import SeriesView


def update_sma(sma: Sma, series: SeriesView, period: int) -> None:
    """Fold the simple moving average of the last `period` closes. Ready at candle `period`; equals TA-Lib's SMA."""
    start = next_row(sma, series, period)
    if start < 0:
        return
    if start == sma.first:
        sma.total, sma.fresh, sma.value = 0.0, 0.0, 0.0
        sma.turn = start + period - 1
    bars = series.bars
    mask, full = len(bars) - 1, sma.first + period
    for row in range(start, sma.row + 1):
        close = bars[row & mask].close
        sma.total += close
        sma.fresh += close
        if row >= full:
            sma.total -= bars[(row - period) & mask].close
        if row == sma.turn:
            sma.total = sma.fresh
            sma.fresh = 0.0
            sma.turn += period
    if sma.row >= full - 1:
        sma.ready = 1
        sma.value = sma.total / period


def next_ema(average: float, value: float, period: int) -> float:
    """Return an exponential average moved by 2 / (period + 1) of its distance to a value."""
    return (value - average) * (2.0 / (period + 1.0)) + average


def update_ema(ema: Ema, series: SeriesView, period: int) -> None:
    """Fold the exponential moving average of the close, begun with the simple one of the first `period` closes.

    Ready at candle `period`; equals TA-Lib's EMA.
    """
    start = next_row(ema, series, period)
    if start < 0:
        return
    if start == ema.first:
        ema.seed, ema.value = 0.0, 0.0
    bars = series.bars
    mask, seeded = len(bars) - 1, ema.first + period - 1
    for row in range(start, ema.row + 1):
        close = bars[row & mask].close
        if row > seeded:
            ema.value = next_ema(ema.value, close, period)
        else:
            ema.seed += close
            if row == seeded:
                ema.value = ema.seed / period
                ema.ready = 1


def update_wma(wma: Wma, series: SeriesView, period: int) -> None:
    """Fold the weighted average of the last `period` closes: the newest has the weight `period`, the oldest 1.

    Ready at candle `period`; equals TA-Lib's WMA.
    """
    start = next_row(wma, series, period)
    if start < 0:
        return
    if start == wma.first:
        wma.total, wma.weighted, wma.fresh_total, wma.fresh_weighted, wma.value = 0.0, 0.0, 0.0, 0.0, 0.0
        wma.turn = start + period - 1
    bars = series.bars
    mask, full = len(bars) - 1, wma.first + period
    for row in range(start, wma.row + 1):
        close = bars[row & mask].close
        wma.fresh_total += close
        wma.fresh_weighted += close * (period - wma.turn + row)
        if row >= full:
            wma.weighted += close * period - wma.total
            wma.total += close - bars[(row - period) & mask].close
        if row == wma.turn:
            wma.total, wma.weighted = wma.fresh_total, wma.fresh_weighted
            wma.fresh_total, wma.fresh_weighted = 0.0, 0.0
            wma.turn += period
    if wma.row >= full - 1:
        wma.ready = 1
        wma.value = wma.weighted / (period * (period + 1) / 2.0)


def update_macd(macd: Macd, series: SeriesView, fast: int, slow: int, signal: int) -> None:
    """Fold the difference of a fast and a slow exponential average, and its own average over `signal` candles.

    Both averages begin at candle `slow`, the signal begins with the mean of the first `signal` differences. Ready at
    candle `slow + signal - 1`, if `fast` is less than `slow`; equals TA-Lib's MACD.
    """
    if fast != macd.fast_period or slow != macd.slow_period or fast < 1 or fast >= slow or signal < 1:
        macd.window = 0
        macd.fast_period, macd.slow_period = fast, slow
    valid = 1 <= fast < slow and signal >= 1
    start = next_row(macd, series, slow + signal - 1 if valid else 0)
    if start < 0:
        return
    if start == macd.first:
        macd.fast, macd.slow, macd.seed = 0.0, 0.0, 0.0
        macd.value, macd.signal, macd.histogram = 0.0, 0.0, 0.0
    bars = series.bars
    mask = len(bars) - 1
    for row in range(start, macd.row + 1):
        _fold_macd(macd, row - macd.first, bars[row & mask].close, signal)


def _fold_macd(macd: Macd, age: int, close: float, signal: int) -> None:
    """Fold one close; `age` counts from 0 at the first one."""
    fast, slow = macd.fast_period, macd.slow_period
    if age < slow:
        macd.slow += close / slow
        if age >= slow - fast:
            macd.fast += close / fast
    else:
        macd.slow = next_ema(macd.slow, close, slow)
        macd.fast = next_ema(macd.fast, close, fast)
    if age < slow - 1:
        return
    macd.value = macd.fast - macd.slow
    known = slow + signal - 2
    if age > known:
        macd.signal = next_ema(macd.signal, macd.value, signal)
    else:
        macd.seed += macd.value
        if age == known:
            macd.signal = macd.seed / signal
            macd.ready = 1
    if age >= known:
        macd.histogram = macd.value - macd.signal
