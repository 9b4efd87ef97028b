"""Buy and hold: equal parts of the capital in every watched symbol, bought when trading began and kept, without costs.

It is sampled once an hour from the ledger's closes, so it costs almost nothing per candle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.events.units import HOUR_MS
from papertape.projections.folds.curve import EquityCurve, EquityPoint

if TYPE_CHECKING:
    from papertape.events.facts import CandleClosed
    from papertape.projections.folds.portfolio import Portfolio
    from papertape.projections.market_run import MarketRun


class BuyAndHold:
    """Fold of the sum of all symbols' returns, on top of a portfolio that its owner folds first.

    A symbol added later is bought when it is added; until then its share of the capital is cash.
    """

    def __init__(self, portfolio: Portfolio) -> None:
        self._closes = portfolio.equity.ledger.closes
        self._bought: dict[str, float] = {}
        self._curve = EquityCurve()
        self._due_ms = self._at_ms = 0

    def take_candle(self, candle: CandleClosed) -> None:
        """Fold a candle other than warm-up."""
        self._at_ms = candle.at_ms
        if candle.at_ms >= self._due_ms:
            self._due_ms = candle.at_ms - candle.at_ms % HOUR_MS + HOUR_MS
            self._bought = self._closes | self._bought
            self._curve.put(candle.at_ms, self._returns())

    @property
    def due_ms(self) -> int:
        """The close from which on a candle is sampled."""
        return self._due_ms

    def take_run(self, run: MarketRun) -> None:
        """Fold the candles of a calm run that closed before `due_ms`."""
        self._at_ms = run.at_ms[-1]

    def _returns(self) -> float:
        return sum(self._closes[symbol] / price - 1.0 for symbol, price in self._bought.items())

    @property
    def symbols(self) -> frozenset[str]:
        """The symbols that are held."""
        return frozenset(self._bought)

    def points(self, capital_usdt: float) -> tuple[EquityPoint, ...]:
        """Return what the capital is worth over time, the newest close included; empty before the first candle."""
        if not self._bought:
            return ()
        part_usdt = capital_usdt / len(self._bought)
        past = [point for point in self._curve.points() if point.at_ms < self._at_ms]
        sums = [*past, EquityPoint(self._at_ms, self._returns())]
        return tuple(EquityPoint(one.at_ms, capital_usdt + part_usdt * one.equity_usdt) for one in sums)
