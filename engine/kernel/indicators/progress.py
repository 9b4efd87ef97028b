"""Where a fold stands in its series: what is new to it, and when it starts over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from papertape.engine.kernel.indicators.structs import HISTORY_BARS_MAX, HISTORY_BARS_MIN

if TYPE_CHECKING:
    from papertape.engine.kernel.view import SeriesView


RENEWAL_ROWS = 131_072
"""Candles after which a running sum is taken anew: a power of two, 91 days of 1m or 15 months of 5m candles."""
RENEWAL_MASK = RENEWAL_ROWS - 1


def history_rows(window: int) -> int:
    """Return the length of the history that a window of candles needs: with two more, and a power of two."""
    rows = HISTORY_BARS_MIN
    while rows < window + 2 and rows < HISTORY_BARS_MAX:
        rows *= 2
    return rows


def next_row(fold: Any, series: SeriesView, window: int) -> int:
    """Return the first row that a fold still has to take in, up to `fold.row`, or -1 if there is none.

    That is the newest row, if the series completed it just now. A fold starts over at row 0, with another window, and
    where rows passed without it: it then begins with the oldest row of the history that the window needs, and this
    returns `fold.first`. A window below 1, or one longer than the history, never becomes ready.
    """
    candle = series.candle
    if candle.completed == 0:
        return -1
    row: int = candle.row
    if row == fold.row + 1 and window == fold.window and row > 0:
        fold.row = row
        return row
    fold.ready = 0
    fold.row = -1
    length = history_rows(window)
    if window < 1 or window > length - 2 or length > len(series.bars):
        return -1
    fold.row = row
    fold.window = window
    fold.first = max(candle.oldest_row, row - length + 1)
    return fold.first  # type: ignore[no-any-return]
