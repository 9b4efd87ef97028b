"""How far a trade moved for and against its owner while it was open (maximum favourable and adverse excursion).

The result at a price is what its closed parts have realised plus the unrealised result of the rest. A candle counts
once the position has outlived it. Of a candle in which a fill changes or ends the position only the prices of its fills
and the close count, because the order of high, low and fills within a candle is not known; a fill at the open precedes
the whole candle. Of the candle of an entry that is filled inside it those prices count that must come later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.events.facts import CandleClosed, Closing, PositionIncreased, PositionOpened, PositionReduced
from papertape.projections.folds.ledger import direction

if TYPE_CHECKING:
    from papertape.events.log import Recorded
    from papertape.projections.market_run import MarketRun


class Excursion(Struct, frozen=True):
    """The best and worst unrealised results in USDT before fees and funding; best is at least 0, worst at most 0."""

    best_usdt: float = 0.0
    worst_usdt: float = 0.0


NO_EXCURSION = Excursion()


class _OpenPosition(Struct):
    """An open position with its excursion over the candles it has outlived, and what its newest candle may add.

    `low` and `high` limit the prices of the newest candle that count; both are 0 if all of them do.
    """

    signed_base: float
    entry_price_usdt: float
    realised_usdt: float = 0.0
    so_far: Excursion = NO_EXCURSION
    low: float = 0.0
    high: float = 0.0

    def with_range(self, low: float, high: float) -> Excursion:
        """Return the excursion extended by a price range."""
        best, worst, one, other = self.so_far.best_usdt, self.so_far.worst_usdt, self._result(low), self._result(high)
        if worst <= one <= best and worst <= other <= best:
            return self.so_far
        return Excursion(max(best, worst, one, other), min(best, worst, one, other))

    def with_candle(self, candle: CandleClosed) -> Excursion:
        """Return the excursion extended by what counts of the newest candle."""
        return self.with_range(self.low or candle.low, self.high or candle.high)

    def _result(self, price_usdt: float) -> float:
        return self.realised_usdt + self.signed_base * (price_usdt - self.entry_price_usdt)


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
            self.take_candle(event)
            return
        match event:
            case PositionOpened():
                position = _OpenPosition(direction(event.side) * event.quantity_base, event.price_usdt)
                self._open.setdefault(event.symbol, {})[event.strategy] = position
                self._enter_inside(event, position)
            case PositionIncreased() | PositionReduced():
                self._fill(event)
            case Closing():
                ended = self._open.get(event.symbol, {}).pop(event.strategy, None)
                price = event.part_price_usdt
                self.ended = NO_EXCURSION if ended is None else ended.with_range(price, price)
            case _:
                pass

    def take_candle(self, candle: CandleClosed) -> None:
        """Fold a candle."""
        if self._open.get(candle.symbol):
            self._outlive(candle.symbol)
        self._newest[candle.symbol] = candle

    @property
    def open_symbols(self) -> set[str]:
        """The symbols with an open position."""
        return {symbol for symbol, opened in self._open.items() if opened}

    def take_run(self, run: MarketRun) -> None:
        """Fold the rest of a calm run, of which the candles of `open_symbols` were folded."""
        self._newest.update(run.newest)

    def of(self, strategy: str, symbol: str) -> Excursion:
        """Return the excursion of an open position, its newest candle included."""
        position, newest = self._open.get(symbol, {}).get(strategy), self._newest.get(symbol)
        if position is None or newest is None:
            return NO_EXCURSION
        return position.with_candle(newest)

    def _outlive(self, symbol: str) -> None:
        """Count the newest candle of a symbol for its open positions: they outlived it."""
        newest = self._newest[symbol]
        for position in self._open[symbol].values():
            position.so_far = position.with_candle(newest)
            position.low = position.high = 0.0

    def _enter_inside(self, event: PositionOpened, position: _OpenPosition) -> None:
        """Count only the prices after an entry inside its candle: it was reached from one side, then came the close."""
        newest = self._newest.get(event.symbol)
        if newest is None or event.kind == "market" or event.at_ms == event.candle_open_ms:
            return
        low, high = sorted((event.price_usdt, newest.close))
        came_down = (event.kind == "limit") == (event.side == "long")
        position.low, position.high = (newest.low, high) if came_down else (low, newest.high)

    def _fill(self, event: PositionIncreased | PositionReduced) -> None:
        position, newest = self._open.get(event.symbol, {}).get(event.strategy), self._newest.get(event.symbol)
        if position is None or newest is None:
            return
        position.so_far = position.with_range(event.price_usdt, event.price_usdt)
        position.signed_base = direction(event.side) * event.position_base
        position.entry_price_usdt = event.entry_price_usdt
        if isinstance(event, PositionReduced):
            position.realised_usdt += event.gross_usdt
        if event.at_ms != newest.open_time_ms:
            position.low = position.high = newest.close
