"""The market's regime when each entry was ordered, computed from a log's candles as its strategies saw them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.engine.kernel.codes import REGIME_NAMES, REGIME_UNKNOWN
from papertape.engine.reducer.reducer import decide, is_new
from papertape.engine.reducer.state import new_state, series_set
from papertape.events.facts import CandleClosed, ContractListed, OrderPlaced, RunnerConfigured
from papertape.events.units import TIMEFRAMES_MS

if TYPE_CHECKING:
    from papertape.events.log import Recorded

UNKNOWN = REGIME_NAMES[REGIME_UNKNOWN]


class EntryRegimes:
    """Fold of the regimes, in the first timeframe of the strategy that placed the order.

    `by_order` has the regime's name by the seq of the entry order; it is unknown while the regime's averages fill.
    """

    def __init__(self) -> None:
        self.by_order: dict[int, str] = {}
        self._market = new_state({})
        self._timeframes_ms: dict[str, int] = {}

    def apply(self, recorded: Recorded) -> None:
        """Fold one event."""
        event = recorded.event
        if isinstance(event, CandleClosed | ContractListed):
            if is_new(self._market, event):
                decide(self._market, event, recorded.seq)
        elif isinstance(event, RunnerConfigured):
            first = event.series[0] if event.series else ""
            if first in TIMEFRAMES_MS and event.strategy not in self._timeframes_ms:
                self._timeframes_ms[event.strategy] = TIMEFRAMES_MS[first]
                series_set(self._market, TIMEFRAMES_MS[first])
        elif isinstance(event, OrderPlaced) and event.action == "entry":
            self.by_order[recorded.seq] = self._regime(event.strategy, event.symbol)

    def _regime(self, strategy: str, symbol: str) -> str:
        """Return the name of the regime that a strategy sees on a symbol now."""
        timeframe_ms, number = self._timeframes_ms.get(strategy), self._market.symbols.get(symbol)
        if timeframe_ms is None or number is None:
            return UNKNOWN
        return REGIME_NAMES[self._market.series[timeframe_ms].views[number].candle.regime]
