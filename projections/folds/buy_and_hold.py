"""Buy and hold: equal parts of the capital in every watched symbol, bought when trading began and kept, without costs.

It is sampled from the ledger's closes once for each point of its curve, so it costs almost nothing per candle.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

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
        """Fold a candle other than warm-up, after the portfolio."""
        self._at_ms = candle.at_ms
        if candle.at_ms >= self._due_ms:
            self._sample(candle.at_ms, self._closes)

    def take_run(self, run: MarketRun) -> None:
        """Fold the candles of a calm run, before the portfolio: its closes are those before the run."""
        self._at_ms, closes, begin = run.at_ms[-1], self._closes, 0
        while (place := bisect_left(run.at_ms, self._due_ms, begin)) < len(run.at_ms):
            closes = closes | {one.symbol: one.close for one in run.candles[begin : place + 1]}
            self._sample(run.at_ms[place], closes)
            begin = place + 1

    def _sample(self, at_ms: int, closes: dict[str, float]) -> None:
        """Add a point to the curve, and buy what has its first close."""
        self._bought = closes | self._bought
        self._curve.put(at_ms, self._returns(closes))
        step_ms = self._curve.step_ms
        self._due_ms = at_ms - at_ms % step_ms + step_ms

    def _returns(self, closes: dict[str, float]) -> float:
        return sum(closes[symbol] / price - 1.0 for symbol, price in self._bought.items())

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
        sums = [*past, EquityPoint(self._at_ms, self._returns(self._closes))]
        return tuple(EquityPoint(one.at_ms, capital_usdt + part_usdt * one.equity_usdt) for one in sums)
