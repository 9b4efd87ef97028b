"""The orders that wait to be filled: for the next open, or resting at a price until they are reached or expire."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.events.facts import (
    Action,
    Closing,
    OrderCancelled,
    OrderKind,
    OrderPlaced,
    PositionIncreased,
    PositionOpened,
    PositionReduced,
    Side,
)

if TYPE_CHECKING:
    from papertape.events.log import Recorded


class OrderView(Struct, frozen=True):
    """An order that waits: a market order for the next candle's open, any other at `price_usdt`.

    `expires_at_ms` of 0 means as long as its position. `rung` is the number of an add, else 0. `units` is how large the
    position of an entry may become, or the size of an add, in first fills; `reduce_fraction` the part of the position
    that a reduction closes, whose quantity is known at its fill.
    """

    strategy: str
    symbol: str
    action: Action
    side: Side
    reason: str
    quantity_base: float
    planned_price_usdt: float
    score: float
    placed_at_ms: int
    seq: int
    kind: OrderKind = "market"
    price_usdt: float = 0.0
    expires_at_ms: int = 0
    rung: int = 0
    units: float = 0.0
    reduce_fraction: float = 0.0

    @property
    def is_resting(self) -> bool:
        """Whether it rests at a price rather than fill at the next open."""
        return self.kind != "market"


class PendingOrders:
    """Fold of the orders that wait. Targets and stops belong to their position: see `projections.folds.brackets`."""

    def __init__(self) -> None:
        self._orders: dict[tuple[str, str], dict[tuple[Action, int], OrderView]] = {}

    def apply(self, recorded: Recorded) -> None:
        """Fold one event."""
        event = recorded.event
        match event:
            case OrderPlaced():
                orders = self._orders.setdefault((event.strategy, event.symbol), {})
                orders[event.action, event.rung] = _order_view(event, recorded.seq)
            case OrderCancelled():
                self._remove(event.strategy, event.symbol, event.action, event.rung)
            case PositionOpened():
                self._remove(event.strategy, event.symbol, "entry", 0)
            case PositionIncreased():
                self._remove(event.strategy, event.symbol, "add", event.rung)
            case PositionReduced(rung=0):
                self._remove(event.strategy, event.symbol, "reduce", 0)
            case Closing():
                self._orders.pop((event.strategy, event.symbol), None)
            case _:
                pass

    def views(self) -> tuple[OrderView, ...]:
        """Return all orders, oldest first."""
        orders = (order for orders in self._orders.values() for order in orders.values())
        return tuple(sorted(orders, key=lambda order: order.seq))

    def _remove(self, strategy: str, symbol: str, action: Action, rung: int) -> None:
        orders = self._orders.get((strategy, symbol), {})
        orders.pop((action, rung), None)
        if not orders:
            self._orders.pop((strategy, symbol), None)


def _order_view(event: OrderPlaced, seq: int) -> OrderView:
    return OrderView(
        strategy=event.strategy,
        symbol=event.symbol,
        action=event.action,
        side=event.side,
        reason=event.reason,
        quantity_base=event.quantity_base,
        planned_price_usdt=event.planned_price_usdt,
        score=event.score,
        placed_at_ms=event.at_ms,
        seq=seq,
        kind=event.kind,
        price_usdt=event.price_usdt,
        expires_at_ms=event.expires_at_ms,
        rung=event.rung,
        units=event.units,
        reduce_fraction=event.reduce_fraction,
    )
