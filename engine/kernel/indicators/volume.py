"""Indicators of volume.

The sums of `Vwap` and `VolumeAverage` are running ones, as the numbers in every recorded decision depend on their last
bits. They are taken anew from the ring every RENEWAL_ROWS candles, before rounding adds up to anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.engine.kernel.indicators.progress import RENEWAL_MASK, next_row
from papertape.engine.kernel.indicators.ranks import typical_price

if TYPE_CHECKING:
    from papertape.engine.kernel.indicators.structs import Mfi, Obv, SessionVwap, VolumeAverage, Vwap
    from papertape.engine.kernel.state import Bars
    from papertape.engine.kernel.view import SeriesView


def update_volume_average(average: VolumeAverage, series: SeriesView, period: int) -> None:
    """Fold the mean volume of the last `period` candles, exactly 0 when nothing was traded.

    Ready at candle `period`; equals TA-Lib's SMA of the volume.
    """
    row = next_row(average, series, period)
    if row < 0:
        return
    first, last, bars = average.first, average.row, series.bars
    mask, full = len(bars) - 1, first + period
    if row == first:
        average.volume_sum, average.value = 0.0, 0.0
        average.traded = 0
    volumes, traded = average.volume_sum, average.traded
    while row <= last:
        volume = bars[row & mask].volume
        if volume > 0.0:
            volumes += volume
            traded += 1
        if row >= full:
            volume = bars[(row - period) & mask].volume
            if volume > 0.0:
                volumes -= volume
                traded -= 1
            if row & RENEWAL_MASK == 0:
                volumes = _sum_volumes(bars, row, period)
        if traded == 0:
            volumes = 0.0
        row += 1
    average.volume_sum, average.traded = volumes, traded
    if last >= full - 1:
        average.ready = 1
        average.value = volumes / period


def _sum_volumes(bars: Bars, row: int, period: int) -> float:
    """Return the volume of the last `period` rows."""
    mask, total = len(bars) - 1, 0.0
    for k in range(row - period + 1, row + 1):
        total += bars[k & mask].volume
    return total


def is_volume_spike(volume: float, mean: float, multiplier: float) -> bool:
    """Return whether a candle's volume exceeds a multiple of the mean volume, and is not 0."""
    return volume > multiplier * mean and volume > 0.0


def update_vwap(vwap: Vwap, series: SeriesView, period: int) -> None:
    """Fold the sum of typical price * volume by the sum of volume of the last `period` candles; 0 without any volume.

    Ready at candle `period` if any of them has volume.
    """
    row = next_row(vwap, series, period)
    if row < 0:
        return
    first, last, bars = vwap.first, vwap.row, series.bars
    mask, full = len(bars) - 1, first + period
    if row == first:
        vwap.turnover_sum, vwap.volume_sum = 0.0, 0.0
        vwap.traded = 0
    turnover, volumes, traded = vwap.turnover_sum, vwap.volume_sum, vwap.traded
    while row <= last:
        bar = bars[row & mask]
        volume = bar.volume
        if volume > 0.0:
            turnover += (bar.high + bar.low + bar.close) / 3.0 * volume
            volumes += volume
            traded += 1
        if row >= full:
            bar = bars[(row - period) & mask]
            volume = bar.volume
            if volume > 0.0:
                turnover -= (bar.high + bar.low + bar.close) / 3.0 * volume
                volumes -= volume
                traded -= 1
            if row & RENEWAL_MASK == 0:
                turnover, volumes = _sum_turnover(bars, row, period), _sum_volumes(bars, row, period)
        if traded == 0:
            turnover, volumes = 0.0, 0.0
        row += 1
    vwap.turnover_sum, vwap.volume_sum, vwap.traded = turnover, volumes, traded
    ready = last >= full - 1 and traded > 0
    vwap.ready = 1 if ready else 0
    vwap.value = turnover / volumes if ready else 0.0


def _sum_turnover(bars: Bars, row: int, period: int) -> float:
    """Return the turnover of the last `period` rows, at typical prices."""
    mask, total = len(bars) - 1, 0.0
    for k in range(row - period + 1, row + 1):
        bar = bars[k & mask]
        total += typical_price(bar) * bar.volume
    return total


def update_session_vwap(vwap: SessionVwap, series: SeriesView, session_ms: int) -> None:
    """Fold the volume-weighted mean of the typical price since the session began; 0 without any volume.

    Sessions of `session_ms` ms (DAY_MS for a UTC day) begin at multiples of it; a candle belongs to the one in which
    it opened. Ready with the first volume of a session.
    """
    candle = series.candle
    if candle.completed == 0:
        return
    opened_ms = candle.end_ms - candle.timeframe_ms
    if opened_ms >= vwap.end_ms or candle.row != vwap.row + 1 or session_ms != vwap.session_ms or candle.row == 0:
        vwap.turnover_sum, vwap.volume_sum = 0.0, 0.0
        vwap.session_ms = session_ms
        vwap.end_ms = opened_ms - opened_ms % session_ms + session_ms if session_ms > 0 else opened_ms
    bar = series.bars[candle.row & (len(series.bars) - 1)]
    vwap.row = candle.row
    vwap.turnover_sum += typical_price(bar) * bar.volume
    vwap.volume_sum += bar.volume
    vwap.ready = 1 if vwap.volume_sum > 0.0 else 0
    vwap.value = vwap.turnover_sum / vwap.volume_sum if vwap.ready == 1 else 0.0


def update_obv(obv: Obv, series: SeriesView) -> None:
    """Fold the volume, added where the close rose and subtracted where it fell; it begins with the first volume.

    Ready at the first candle; equals TA-Lib's OBV.
    """
    start = next_row(obv, series, 1)
    if start < 0:
        return
    bars = series.bars
    mask = len(bars) - 1
    if start == obv.first:
        obv.value = bars[start & mask].volume
    for row in range(start, obv.row + 1):
        if row > obv.first:
            change = bars[row & mask].close - bars[(row - 1) & mask].close
            if change > 0.0:
                obv.value += bars[row & mask].volume
            elif change < 0.0:
                obv.value -= bars[row & mask].volume
    obv.ready = 1


def update_mfi(mfi: Mfi, series: SeriesView, period: int) -> None:
    """Fold the share of turnover, in percent, at a risen typical price over the last `period` candles.

    Candles whose typical price did not change do not count; without any other it is 50, where TA-Lib's MFI is 0. Ready
    at candle `period + 1`; equals TA-Lib's MFI otherwise.
    """
    start = next_row(mfi, series, period)
    if start < 0:
        return
    first = mfi.first
    if start == first:
        mfi.rising, mfi.falling, mfi.fresh_rising, mfi.fresh_falling, mfi.value = 0.0, 0.0, 0.0, 0.0, 0.0
        mfi.turn = first + period
    for row in range(start, mfi.row + 1):
        if row > first:
            _fold_flow(mfi, series.bars, row, period)
    if mfi.row >= first + period:
        mfi.ready = 1
        total = mfi.rising + mfi.falling
        mfi.value = 100.0 * (mfi.rising / total) if total > 0.0 else 50.0


def _fold_flow(mfi: Mfi, bars: Bars, row: int, period: int) -> None:
    """Add the flow of a row, and drop the one that leaves the window."""
    added = _money_flow(bars, row)
    if added > 0.0:
        mfi.rising += added
        mfi.fresh_rising += added
    else:
        mfi.falling -= added
        mfi.fresh_falling -= added
    if row - period > mfi.first:
        dropped = _money_flow(bars, row - period)
        if dropped > 0.0:
            mfi.rising = max(mfi.rising - dropped, 0.0)
        else:
            mfi.falling = max(mfi.falling + dropped, 0.0)
    if row == mfi.turn:
        mfi.rising, mfi.falling = mfi.fresh_rising, mfi.fresh_falling
        mfi.fresh_rising, mfi.fresh_falling = 0.0, 0.0
        mfi.turn += period


def _money_flow(bars: Bars, row: int) -> float:
    """Return the turnover of a row, negative if its typical price fell and 0 if it did not change."""
    mask = len(bars) - 1
    bar = bars[row & mask]
    price = typical_price(bar)
    change = price - typical_price(bars[(row - 1) & mask])
    if change > 0.0:
        return price * bar.volume
    return -(price * bar.volume) if change < 0.0 else 0.0
