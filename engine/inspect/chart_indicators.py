"""The kernel's indicators that a chart offers besides VWAP and RSI, with customary periods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from papertape.engine.kernel.indicators import (
    Atr,
    Bollinger,
    Ema,
    Macd,
    update_atr,
    update_bollinger,
    update_ema,
    update_macd,
)
from papertape.engine.kernel.strategy import PRICE

if TYPE_CHECKING:
    from papertape.engine.kernel.view import SeriesView

FAST_PERIOD: Final = 20
SLOW_PERIOD: Final = 50
BOLLINGER_WIDTH: Final = 2.0
MACD_PERIODS: Final = (12, 26, 9)
ATR_PERIOD: Final = 14
INDICATOR_LINES: Final = (
    (f"EMA {FAST_PERIOD}", PRICE),
    (f"EMA {SLOW_PERIOD}", PRICE),
    ("Bollinger upper", PRICE),
    ("Bollinger middle", PRICE),
    ("Bollinger lower", PRICE),
    ("MACD", "pane:MACD"),
    ("MACD signal", "pane:MACD"),
    ("ATR", "pane:ATR"),
)
"""The name of each value, and where it is drawn, as in a strategy's `PLOT`."""
NO_VALUES: Final = (None,) * len(INDICATOR_LINES)


class ChartIndicators:
    """The indicators of one series."""

    def __init__(self) -> None:
        self._fast, self._slow, self._bands, self._macd, self._atr = Ema(), Ema(), Bollinger(), Macd(), Atr()

    def update(self, series: SeriesView) -> tuple[float | None, ...]:
        """Fold a completed candle; return the values of INDICATOR_LINES, None for one that is not ready.

        They are rounded to seven digits, so that once warm they do not depend on where the series began.
        """
        fast, slow, bands, macd, atr = self._fast, self._slow, self._bands, self._macd, self._atr
        update_ema(fast, series, FAST_PERIOD)
        update_ema(slow, series, SLOW_PERIOD)
        update_bollinger(bands, series, FAST_PERIOD, BOLLINGER_WIDTH)
        update_macd(macd, series, *MACD_PERIODS)
        update_atr(atr, series, ATR_PERIOD)
        return (
            *_values(fast.ready, fast.value),
            *_values(slow.ready, slow.value),
            *_values(bands.ready, bands.upper, bands.middle, bands.lower),
            *_values(macd.ready, macd.value, macd.signal),
            *_values(atr.ready, atr.value),
        )


def _values(ready: int, *values: float) -> tuple[float | None, ...]:
    return tuple(float(f"{value:.7g}") if ready == 1 else None for value in values)
