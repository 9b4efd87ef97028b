"""What the hooks of a strategy see."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from papertape.engine.kernel.state import Bars, Series


class SeriesView(NamedTuple):
    """One series: its newest complete candle, and the ring of its history."""

    candle: Series
    bars: Bars
