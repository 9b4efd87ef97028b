"""The series of one timeframe, which all runners share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.engine.kernel.indicators.structs import HISTORY_BARS_MIN
from papertape.engine.kernel.state import Bar
from papertape.engine.kernel.view import SeriesView

if TYPE_CHECKING:
    from collections.abc import Iterable

    from papertape.engine.kernel.state import Bars, Series


class SeriesSet(Struct):
    """One timeframe over all symbols: its series with their histories of `rows` bars, by symbol index."""

    timeframe_ms: int
    views: list[SeriesView]
    rows: int = HISTORY_BARS_MIN

    @property
    def series(self) -> list[Series]:
        """The series by symbol index."""
        return [view.candle for view in self.views]

    @property
    def bars(self) -> list[Bars]:
        """Their histories by symbol index."""
        return [view.bars for view in self.views]

    def replace(self, series: Iterable[Series], bars: Iterable[Bars]) -> None:
        """Replace every series and its history."""
        self.views[:] = map(SeriesView, series, bars)

    def lengthen(self, rows: int) -> None:
        """Make room for `rows` bars in every history, if there is less; none is ever shortened."""
        if rows > self.rows:
            self.views[:] = [_lengthened(view, rows) if view.bars else view for view in self.views]
            self.rows = rows


def _lengthened(view: SeriesView, rows: int) -> SeriesView:
    """Return a series with a history of `rows` bars that holds those of its shorter one; note the oldest of them."""
    series, bars = view.candle, view.bars
    longer = [Bar() for _ in range(rows)]
    series.oldest_row = max(series.oldest_row, series.row - len(bars) + 1)
    for row in range(series.oldest_row, series.row + 1):
        longer[row & (rows - 1)] = bars[row & (len(bars) - 1)]
    return SeriesView(series, longer)
