"""Heikin-Ashi candles, crossings, and how long ago something was."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from papertape.engine.kernel.indicators.structs import BarsSince, Cross, HeikinAshi
    from papertape.engine.kernel.view import SeriesView


def update_heikin_ashi(heikin: HeikinAshi, series: SeriesView) -> None:
    """Fold the candle as Heikin-Ashi: close (o + h + l + c) / 4, open the middle of the body before it.

    The first one opens at (open + close) / 2. Ready at the first candle.
    """
    candle = series.candle
    if candle.completed == 0:
        return
    if candle.row == heikin.row + 1 and candle.row > 0:
        heikin.open = (heikin.open + heikin.close) / 2.0
    else:
        heikin.open = (candle.open + candle.close) / 2.0
    heikin.close = (candle.open + candle.high + candle.low + candle.close) / 4.0
    heikin.high = max(candle.high, heikin.open, heikin.close)
    heikin.low = min(candle.low, heikin.open, heikin.close)
    heikin.row = candle.row
    heikin.ready = 1


def update_cross(cross: Cross, series: SeriesView, first: float, second: float) -> None:
    """Fold whether the first value rose above the second (1) or fell below it (-1) with this candle; touching is 0.

    Ready at the second candle. Call it once both values are ready: their zeros before would cross too.
    """
    candle = series.candle
    if candle.completed == 0:
        return
    difference, cross.value = first - second, 0
    cross.ready = 1 if candle.row == cross.row + 1 and candle.row > 0 and cross.row >= 0 else 0
    if cross.ready == 1:
        if difference > 0.0 and cross.difference <= 0.0:
            cross.value = 1
        elif difference < 0.0 and cross.difference >= 0.0:
            cross.value = -1
    cross.difference = difference
    cross.row = candle.row


def update_bars_since(since: BarsSince, series: SeriesView, condition: bool) -> None:
    """Fold the number of candles since the condition last held. Ready once it has held."""
    candle = series.candle
    if candle.completed == 0:
        return
    if candle.row != since.row + 1 or candle.row == 0:
        since.ready, since.value = 0, 0
    since.row = candle.row
    if condition:
        since.ready, since.value = 1, 0
    elif since.ready == 1:
        since.value += 1
