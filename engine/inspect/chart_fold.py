"""Candles of any timeframe from recorded ones, with the kernel's own indicators.

The fold passes every base candle to the functions that build the strategies' series, so a candle exists here exactly
if it exists for a strategy: an interval with a hole completes none.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from papertape.engine.inspect.chart_indicators import NO_VALUES, ChartIndicators
from papertape.engine.kernel.codes import CANDLE
from papertape.engine.kernel.indicators import Rsi, Vwap, update_rsi, update_vwap
from papertape.engine.kernel.indicators.structs import HISTORY_BARS_MIN
from papertape.engine.kernel.observe import observe_candle
from papertape.engine.kernel.series import observe_series
from papertape.engine.kernel.state import Bar, Fact, Market, Series
from papertape.engine.kernel.view import SeriesView
from papertape.engine.reducer.state import GAP_RESET_MS
from papertape.events.facts import CandleClosed, FundingRateSettled, Timing

if TYPE_CHECKING:
    from papertape.events.facts import Event

CANDLES_MAX: Final = 1_500
CHART_SETTLEMENTS_MAX: Final = 5_000
VWAP_PERIOD: Final = 288
RSI_PERIOD: Final = 14
WARM_UP_CANDLES: Final = 512
"""After this many candles the start of Wilder's averages no longer changes a float."""


class Candle(Struct, frozen=True):
    """One candle; `late` if a part of it was fetched after the fact. An indicator that is not ready is None.

    `others` are the values of `chart_indicators.INDICATOR_LINES`.
    """

    open_time_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    complete: bool
    late: bool
    vwap: float | None = None
    rsi: float | None = None
    others: tuple[float | None, ...] = NO_VALUES


class Chart(Struct, frozen=True):
    """Candles, oldest first, the forming one last, and the settlements (UTC ms, rate) within them, as of `seq`."""

    seq: int
    candles: tuple[Candle, ...]
    funding: tuple[tuple[int, float], ...]


class ChartFold:
    """Fold of one symbol's candles into those of a timeframe.

    `from_ms` is where the first one begins; `whole` says that the log holds none before it. Otherwise indicators are
    shown after WARM_UP_CANDLES only, when they equal those of a series that began earlier.
    """

    def __init__(self, symbol: str, timeframe_ms: int, base_ms: int, count: int, from_ms: int, *, whole: bool) -> None:
        self.symbol, self._from_ms = symbol, from_ms
        self._market = Market(base_ms=base_ms, gap_reset_ms=GAP_RESET_MS)
        self._series = Series(timeframe_ms=timeframe_ms, base_ms=base_ms)
        self._bars = [Bar() for _ in range(HISTORY_BARS_MIN)]
        self._vwap, self._rsi, self._others = Vwap(), Rsi(), ChartIndicators()
        self._rows: deque[Candle] = deque(maxlen=count)
        self._funding: deque[tuple[int, float]] = deque(maxlen=CHART_SETTLEMENTS_MAX)
        self._warm_up = 0 if whole else WARM_UP_CANDLES
        self._end_ms, self._late = -1, False

    def apply(self, event: Event) -> None:
        """Add one event."""
        if type(event) is CandleClosed:
            if event.symbol == self.symbol and event.open_time_ms >= self._from_ms:
                self._add(event)
        elif isinstance(event, FundingRateSettled) and event.symbol == self.symbol:
            self._funding.append((event.at_ms, event.rate))

    def _add(self, event: CandleClosed) -> None:
        """Add a base candle, as a runner's series does."""
        series, market = self._series, self._market
        opened_ms = event.open_time_ms
        prices = (event.open, event.high, event.low, event.close)
        fact = Fact(CANDLE, 0, event.timing, opened_ms, event.at_ms, *prices, event.volume)
        observe_candle(market, fact, ())
        if market.reset == 1:
            self._warm_up = 0  # Nothing from before the hole counts, also for a series that began earlier.
        observe_series(series, self._bars, fact, market.reset)
        if series.end_ms != self._end_ms:
            self._end_ms, self._late = series.end_ms, False
        self._late = self._late or event.timing is Timing.LATE
        if series.completed == 1:
            self._complete(series)

    def _complete(self, series: Series) -> None:
        """Add the candle that was just completed, with its indicators."""
        shown = self._warm_up == 0
        self._warm_up = max(0, self._warm_up - 1)
        view = SeriesView(series, self._bars)
        update_vwap(self._vwap, view, VWAP_PERIOD)
        update_rsi(self._rsi, view, RSI_PERIOD)
        others = self._others.update(view)
        vwap = self._vwap.value if shown and self._vwap.ready == 1 else None
        rsi = self._rsi.value if shown and self._rsi.ready == 1 else None
        opened_ms = series.end_ms - series.timeframe_ms
        prices = (series.open, series.high, series.low, series.close)
        known = others if shown else NO_VALUES
        row = Candle(opened_ms, *prices, series.volume, True, self._late, vwap, rsi, known)
        self._rows.append(row)

    def chart(self, seq: int, candles: int, *, forming: bool = True) -> Chart:
        """Return the last candles, including the forming one unless it is not wanted."""
        shown = [*self._rows, *(self._forming() if forming else ())][-candles:]
        if not shown:
            return Chart(seq, (), ())
        first_ms, last_ms = shown[0].open_time_ms, self._market.close_time_ms
        funding = tuple(one for one in self._funding if first_ms <= one[0] <= last_ms)
        return Chart(seq, tuple(shown), funding)

    def _forming(self) -> list[Candle]:
        """Return the forming candle, if there is one."""
        series = self._series
        if series.end_ms < 0 or series.completed == 1:
            return []
        prices = (series.forming_open, series.forming_high, series.forming_low, self._market.close)
        opened_ms = series.end_ms - series.timeframe_ms
        return [Candle(opened_ms, *prices, series.forming_volume, complete=False, late=self._late)]
