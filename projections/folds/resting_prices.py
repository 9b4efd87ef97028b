"""Every price at which an order rested, and for how long: entries, adds, targets and stops, for the chart.

A stop that trails yields a step for every price it moves to. Of each symbol the newest steps are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct, structs

from papertape.events.facts import (
    CandleClosed,
    Closing,
    OrderCancelled,
    OrderPlaced,
    PositionIncreased,
    PositionOpened,
    PositionReduced,
    Side,
    StopMoved,
    StopReason,
    TargetsMoved,
)
from papertape.projections.persistence.append_only import AppendOnlyList

if TYPE_CHECKING:
    from papertape.events.log import Recorded
    from papertape.projections.folds.brackets import Bracket
    from papertape.projections.folds.portfolio import Portfolio

CHUNKS_MAX: Final = 16
"""Per symbol: about two thousand ended steps."""
RestingRole = Literal["entry", "add", "target"] | StopReason
_Key = tuple[str, int]
_STOP: _Key = ("stop", 0)


class RestingPrice(Struct, frozen=True):
    """An order that rested at one price from `from_ms` to `until_ms`; 0 while it rests. `rung` is that of a ladder."""

    strategy: str
    symbol: str
    side: Side
    role: RestingRole
    rung: int
    price_usdt: float
    from_ms: int
    until_ms: int = 0


class RestingPrices:
    """Fold of the resting prices, on top of a portfolio that the owner folds first."""

    def __init__(self, portfolio: Portfolio) -> None:
        self._portfolio = portfolio
        self._ended: dict[str, AppendOnlyList[RestingPrice]] = {}
        self._open: dict[str, dict[str, dict[_Key, RestingPrice]]] = {}

    def apply(self, recorded: Recorded) -> None:
        """Fold one event."""
        event = recorded.event
        if type(event) is CandleClosed:
            self.follow_stops(event.symbol)
            return
        match event:
            case OrderPlaced() if event.kind != "market":
                self._rest(event)
            case OrderCancelled():
                self._end(event.strategy, event.symbol, (event.action, event.rung), event.at_ms)
            case PositionOpened():
                self._end(event.strategy, event.symbol, ("entry", 0), event.at_ms)
                self._follow_bracket(event)
            case PositionIncreased():
                self._end(event.strategy, event.symbol, ("add", event.rung), event.at_ms)
            case PositionReduced() | StopMoved() | TargetsMoved():
                self._follow_bracket(event)
            case Closing():
                for key in tuple(self._open.get(event.symbol, {}).get(event.strategy, {})):
                    self._end(event.strategy, event.symbol, key, event.at_ms)
            case _:
                pass

    def of(self, symbol: str, from_ms: int, until_ms: int) -> tuple[RestingPrice, ...]:
        """Return the prices of a symbol that rested within a span of market time, those that still rest last."""
        ended = (one for one in self._ended.get(symbol, ()) if one.from_ms <= until_ms and one.until_ms >= from_ms)
        resting = (
            self._now(one)
            for prices in self._open.get(symbol, {}).values()
            for one in prices.values()
            if one.from_ms <= until_ms
        )
        return (*ended, *resting)

    def _now(self, price: RestingPrice) -> RestingPrice:
        """Return a resting price as it is now: a stop may have moved with the newest candle."""
        if price.role in ("entry", "add", "target"):
            return price
        bracket = self._portfolio.brackets.of(price.strategy, price.symbol)
        return price if bracket is None else structs.replace(price, **_stop_of(bracket))

    def _prices(self, strategy: str, symbol: str) -> dict[_Key, RestingPrice]:
        return self._open.setdefault(symbol, {}).setdefault(strategy, {})

    def _rest(self, event: OrderPlaced) -> None:
        role: RestingRole = "add" if event.action == "add" else "entry"
        price = RestingPrice(event.strategy, event.symbol, event.side, role, event.rung, event.price_usdt, event.at_ms)
        self._begin((role, event.rung), price)

    def _begin(self, key: _Key, price: RestingPrice) -> None:
        """Let a price rest, in place of the one that rested as the same order."""
        self._end(price.strategy, price.symbol, key, price.from_ms)
        self._prices(price.strategy, price.symbol)[key] = price

    def _end(self, strategy: str, symbol: str, key: _Key, at_ms: int) -> None:
        prices = self._open.get(symbol, {}).get(strategy, {})
        price = prices.pop(key, None)
        if price is None:
            return
        if at_ms > price.from_ms:
            ended = self._ended.setdefault(symbol, AppendOnlyList(CHUNKS_MAX))
            ended.append(structs.replace(price, until_ms=at_ms))
        if not prices:
            self._open[symbol].pop(strategy, None)

    def follow_stops(self, symbol: str) -> None:
        """Begin a step for every stop of a symbol that the candle before has moved."""
        for strategy, prices in tuple(self._open.get(symbol, {}).items()):
            stop = prices.get(_STOP)
            bracket = self._portfolio.brackets.of(strategy, symbol) if stop is not None else None
            if stop is not None and bracket is not None:
                self._step(stop, bracket)

    def _step(self, stop: RestingPrice, bracket: Bracket) -> None:
        if (stop.price_usdt, stop.role) != (bracket.stop_price_usdt, bracket.stop_kind):
            self._begin(_STOP, structs.replace(stop, **_stop_of(bracket)))

    def _follow_bracket(self, event: PositionOpened | PositionReduced | StopMoved | TargetsMoved) -> None:
        """Let the stop and the targets rest as the position's bracket has them now."""
        bracket = self._portfolio.brackets.of(event.strategy, event.symbol)
        if bracket is None:
            return
        prices = self._prices(event.strategy, event.symbol)
        targets = {("target", one.rung): one for one in bracket.targets}
        for key in [key for key in prices if key[0] == "target"]:
            target = targets.get(key)
            if target is None or target.price_usdt != prices[key].price_usdt:
                self._end(event.strategy, event.symbol, key, event.at_ms)
        prices = self._prices(event.strategy, event.symbol)
        for key, target in targets.items():
            if key not in prices:
                price = RestingPrice(
                    event.strategy, event.symbol, event.side, "target", target.rung, target.price_usdt, target.since_ms
                )
                self._begin(key, price)
        stop = prices.get(_STOP)
        if stop is None:
            first = event.stop_price_usdt if isinstance(event, PositionOpened) else bracket.stop_price_usdt
            self._begin(_STOP, RestingPrice(event.strategy, event.symbol, event.side, "stop", 0, first, event.at_ms))
        else:
            self._step(stop, bracket)


def _stop_of(bracket: Bracket) -> dict[str, float | int | str]:
    return {
        "role": bracket.stop_kind,
        "price_usdt": bracket.stop_price_usdt,
        "from_ms": bracket.stop_since_ms,
    }
