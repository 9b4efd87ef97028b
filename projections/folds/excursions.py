"""How far a position moved for and against its owner while it was open (maximum favourable and adverse excursion).

A candle counts once the position has outlived it. Of the candle in which the position ends, only the exit price counts,
because the order of high, low and exit within a candle is not known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.events.facts import CandleClosed, Closing, PositionOpened
from papertape.projections.folds.ledger import direction

if TYPE_CHECKING:
    from papertape.events.log import Recorded


class Excursion(Struct, frozen=True):
    """The best and worst unrealised results in USDT before fees and funding; best is at least 0, worst at most 0."""

    best_usdt: float = 0.0
    worst_usdt: float = 0.0

    def with_result(self, result_usdt: float) -> Excursion:
        """Return the excursion extended by a result."""
        return Excursion(max(self.best_usdt, result_usdt), min(self.worst_usdt, result_usdt))


NO_EXCURSION = Excursion()


class _OpenPosition(Struct):
    """An open position with its excursion over the candles it has outlived."""

    signed_base: float
    entry_price_usdt: float
    so_far: Excursion = NO_EXCURSION

    def with_range(self, low: float, high: float) -> Excursion:
        """Return the excursion extended by a price range."""
        low_usdt = self.signed_base * (low - self.entry_price_usdt)
        return self.so_far.with_result(low_usdt).with_result(self.signed_base * (high - self.entry_price_usdt))


class Excursions:
    """Fold of the excursions of open positions. `ended` is that of the position that the last closing event ended."""

    def __init__(self) -> None:
        self.ended = NO_EXCURSION
        self._open: dict[str, dict[str, _OpenPosition]] = {}
        self._newest: dict[str, CandleClosed] = {}

    def apply(self, recorded: Recorded) -> None:
        """Fold one event."""
        event = recorded.event
        if type(event) is CandleClosed:
            if self._open.get(event.symbol):
                self._outlive(event.symbol)
            self._newest[event.symbol] = event
            return
        match event:
            case PositionOpened():
                position = _OpenPosition(direction(event.side) * event.quantity_base, event.price_usdt)
                self._open.setdefault(event.symbol, {})[event.strategy] = position
            case Closing():
                ended = self._open.get(event.symbol, {}).pop(event.strategy, None)
                self.ended = NO_EXCURSION if ended is None else ended.with_range(event.price_usdt, event.price_usdt)
            case _:
                pass

    def of(self, strategy: str, symbol: str) -> Excursion:
        """Return the excursion of an open position, its newest candle included."""
        position, newest = self._open.get(symbol, {}).get(strategy), self._newest.get(symbol)
        if position is None or newest is None:
            return NO_EXCURSION
        return position.with_range(newest.low, newest.high)

    def _outlive(self, symbol: str) -> None:
        """Count the newest candle of a symbol for its open positions: they outlived it."""
        newest = self._newest[symbol]
        for position in self._open[symbol].values():
            position.so_far = position.with_range(newest.low, newest.high)
