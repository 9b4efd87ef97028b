"""How far a position went for and against its owner while it was open (maximum favourable and adverse excursion).

A candle counts once the position has outlived it: of the candle in which it ends only the price of its end counts,
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
    """The best and the worst unrealised result in USDT before fees and funding; at least 0 and at most 0."""

    best_usdt: float = 0.0
    worst_usdt: float = 0.0

    def with_result(self, result_usdt: float) -> Excursion:
        """With one more result that was reached."""
        return Excursion(max(self.best_usdt, result_usdt), min(self.worst_usdt, result_usdt))


NOWHERE = Excursion()


class _OpenPosition(Struct):
    """An open position, and how far it went in the candles it outlived."""

    signed_base: float
    entry_price_usdt: float
    so_far: Excursion = NOWHERE

    def with_range(self, low: float, high: float) -> Excursion:
        """With a range of prices that was passed."""
        low_usdt = self.signed_base * (low - self.entry_price_usdt)
        return self.so_far.with_result(low_usdt).with_result(self.signed_base * (high - self.entry_price_usdt))


class Excursions:
    """Fold of the excursions of open positions. `ended` is that of the position which the last event ended."""

    def __init__(self) -> None:
        self.ended = NOWHERE
        self._open: dict[str, dict[str, _OpenPosition]] = {}
        self._newest: dict[str, CandleClosed] = {}

    def apply(self, recorded: Recorded) -> None:
        """Take one event."""
        event = recorded.event
        if type(event) is CandleClosed:
            if self._open.get(event.symbol):
                self._outlive(event.symbol)
            self._newest[event.symbol] = event
            return
        match event:
            case PositionOpened():
                held = _OpenPosition(direction(event.side) * event.quantity_base, event.price_usdt)
                self._open.setdefault(event.symbol, {})[event.strategy] = held
            case Closing():
                ended = self._open.get(event.symbol, {}).pop(event.strategy, None)
                self.ended = NOWHERE if ended is None else ended.with_range(event.price_usdt, event.price_usdt)
            case _:
                pass

    def of(self, strategy: str, symbol: str) -> Excursion:
        """The excursion of an open position, its newest candle included."""
        held, newest = self._open.get(symbol, {}).get(strategy), self._newest.get(symbol)
        if held is None or newest is None:
            return NOWHERE
        return held.with_range(newest.low, newest.high)

    def _outlive(self, symbol: str) -> None:
        """The positions that are open have outlived the newest candle before this one."""
        newest = self._newest[symbol]
        for held in self._open[symbol].values():
            held.so_far = held.with_range(newest.low, newest.high)
