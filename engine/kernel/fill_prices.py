"""At which price, for which reason and at which fee an order of an open position is filled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.engine.kernel.answers import rung_at
from papertape.engine.kernel.codes import LIMIT_ORDER, LIQUIDATION, REDUCED, TARGET, TARGET_1
from papertape.engine.kernel.rounding import market_price

if TYPE_CHECKING:
    from papertape.engine.kernel.state import AccountRules, Contract, Order, Position

# What a step fills.
NOTHING = 0
LIQUIDATED = 1
CLOSED = 2
STOPPED = 3
PART = 4
TARGET_HIT = 5
ADDED = 6


def fill_price(
    what: int,
    k: int,
    at_open: bool,
    opening: float,
    slippage: float,
    position: Position,
    rules: AccountRules,
    contract: Contract,
) -> tuple[float, float]:
    """Return the price of a fill, and its price before slippage: a resting limit order has none."""
    side = position.side
    if what == LIQUIDATED:
        bankruptcy = position.entry_price_usdt - side * (position.entry_price_usdt / rules.leverage)
        return bankruptcy, bankruptcy
    if what == TARGET_HIT:
        target = rung_at(position.targets, k).price_usdt
        return target, target
    if what == ADDED:
        add = rung_at(position.adds, k)
        if add.kind == LIMIT_ORDER:
            return add.price_usdt, add.price_usdt
        reference = opening if at_open else add.price_usdt
        return market_price(reference, side, slippage, contract), reference
    reference = opening if at_open else position.stop_price_usdt
    return market_price(reference, -side, slippage, contract), reference


def end_reason(what: int, k: int, position: Position, order: Order) -> int:
    """Return the reason of a fill that closes the position or a part of it."""
    if what == LIQUIDATED:
        return LIQUIDATION
    if what == TARGET_HIT:
        return TARGET if position.targets.count == 1 else TARGET_1 + k
    if what == STOPPED:
        return position.stop_reason
    return REDUCED if what == PART else order.reason


def end_fee(what: int, rules: AccountRules) -> float:
    """Return the fee rate of such a fill; a liquidation takes the whole margin and has none."""
    if what == LIQUIDATED:
        return 0.0
    return rules.maker_fee if what == TARGET_HIT else rules.taker_fee
