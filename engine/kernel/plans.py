"""What an answer may say: prices are put on the grid, and ladders are checked, the same for an entry and for a change.

Prices are rounded away from the market: long limits and stops below it down, stop orders and targets above it up. A
number minus itself is 0 if it is finite; multiplying by 1.0 makes a float of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.engine.kernel.answers import RUNGS_MAX, rung_at
from papertape.engine.kernel.codes import LIMIT_ORDER, MARKET_ORDER
from papertape.engine.kernel.fills import FULL_LADDER
from papertape.engine.kernel.rounding import fits_grid, price_down, price_up, target_price

if TYPE_CHECKING:
    from papertape.engine.kernel.answers import Ladder, Plan
    from papertape.engine.kernel.state import Contract

EXPIRES_CANDLES_MAX = 288
ADD_SIZE_MAX = 4.0
TOLERANCE = 1e-9


def towards_profit(price_usdt: float, side: int, contract: Contract) -> float:
    """Return a price on the grid, rounded up for long: targets and stop orders."""
    return price_up(price_usdt, contract) if side > 0 else price_down(price_usdt, contract)


def towards_loss(price_usdt: float, side: int, contract: Contract) -> float:
    """Return a price on the grid, rounded down for long: stops and limit orders."""
    return price_down(price_usdt, contract) if side > 0 else price_up(price_usdt, contract)


def is_price(value: float, contract: Contract) -> bool:
    """Return whether a value is a price above 0 that can be counted in ticks."""
    return value > 0.0 and fits_grid(value, contract)


def is_amount(value: float) -> bool:
    """Return whether a value is finite and not negative."""
    return value - value == 0.0 and value >= 0.0


def has_valid_trailing(answer: Plan) -> bool:
    """Return whether the three numbers of the trailing and the break-even stop are in their ranges."""
    answer.trail_fraction = answer.trail_fraction * 1.0
    answer.trail_after_fraction = answer.trail_after_fraction * 1.0
    answer.breakeven_after_fraction = answer.breakeven_after_fraction * 1.0
    return (
        is_amount(answer.trail_fraction)
        and answer.trail_fraction < 1.0
        and is_amount(answer.trail_after_fraction)
        and is_amount(answer.breakeven_after_fraction)
    )


def round_targets(targets: Ladder, entry: float, side: int, contract: Contract) -> bool:
    """Put the prices of targets on the grid; return False if a number is invalid.

    A target has a price, or a fraction of the price at which the position is entered, as planned `entry`.
    """
    for k in range(min(targets.count, RUNGS_MAX)):
        rung = rung_at(targets, k)
        rung.price_usdt = rung.price_usdt * 1.0
        rung.fraction = rung.fraction * 1.0
        rung.size = rung.size * 1.0
        if rung.size - rung.size != 0.0 or rung.fraction - rung.fraction != 0.0:
            return False
        if not fits_grid(entry * (1.0 + side * rung.fraction), contract):
            return False
        if rung.fraction == 0.0 or rung.price_usdt != 0.0:
            if not is_price(rung.price_usdt, contract):
                return False
            rung.price_usdt = towards_profit(rung.price_usdt, side, contract)
    return True


def round_adds(adds: Ladder, side: int, contract: Contract) -> bool:
    """Put the prices of adds on the grid; return False if a number is invalid."""
    for k in range(min(adds.count, RUNGS_MAX)):
        rung = rung_at(adds, k)
        rung.price_usdt = rung.price_usdt * 1.0
        rung.size = rung.size * 1.0
        if not 0.0 < rung.size <= ADD_SIZE_MAX or not 0 <= rung.expires_candles <= EXPIRES_CANDLES_MAX:
            return False
        if rung.kind == MARKET_ORDER:
            continue
        if not is_price(rung.price_usdt, contract):
            return False
        if rung.kind == LIMIT_ORDER:
            rung.price_usdt = towards_loss(rung.price_usdt, side, contract)
        else:
            rung.price_usdt = towards_profit(rung.price_usdt, side, contract)
    return True


def price_of_target(targets: Ladder, k: int, entry: float, side: int, contract: Contract) -> float:
    """Return the price of a target of a position entered at `entry`."""
    rung = rung_at(targets, k)
    return target_price(entry, side, rung.fraction, contract) if rung.price_usdt == 0.0 else rung.price_usdt


def is_target_ladder(targets: Ladder, entry: float, side: int, contract: Contract) -> bool:
    """Return whether targets are at most four, all prices or all fractions, each farther, with parts of at most 1."""
    if targets.count > RUNGS_MAX:
        return False
    total, last, fractions = 0.0, 0.0, 0
    for k in range(targets.count):
        rung = rung_at(targets, k)
        price = price_of_target(targets, k, entry, side, contract)
        if not 0.0 < rung.size <= 1.0 or (k > 0 and side * (price - last) <= 0.0):
            return False
        if rung.price_usdt == 0.0:
            fractions += 1
        total += rung.size
        last = price
    return total <= 1.0 + TOLERANCE and (fractions == 0 or fractions == targets.count)


def last_target(targets: Ladder, entry: float, side: int, contract: Contract) -> float:
    """Return the price of the last target of a full ladder, 0 if the ladder is not full."""
    total = 0.0
    for k in range(targets.count):
        total += rung_at(targets, k).size
    if targets.count == 0 or total < FULL_LADDER:
        return 0.0
    return price_of_target(targets, targets.count - 1, entry, side, contract)


def is_add_ladder(adds: Ladder, side: int, entry: float, stop: float, target: float, market_adds: int) -> bool:
    """Return whether adds are at most four, and each is in its place and farther than the one before of its kind.

    Limit adds lie between the stop and `entry`, stop adds between `entry` and `target`, the last of a full ladder (0:
    there is none). The first may be a market add if `market_adds` is 1.
    """
    if adds.count > RUNGS_MAX:
        return False
    limit, stop_order = entry, entry
    for k in range(adds.count):
        rung = rung_at(adds, k)
        if rung.kind == MARKET_ORDER:
            if k > 0 or market_adds == 0:
                return False
        elif rung.kind == LIMIT_ORDER:
            if side * (limit - rung.price_usdt) <= 0.0 or side * (rung.price_usdt - stop) <= 0.0:
                return False
            limit = rung.price_usdt
        else:
            if side * (rung.price_usdt - stop_order) <= 0.0:
                return False
            if target != 0.0 and side * (target - rung.price_usdt) <= 0.0:
                return False
            stop_order = rung.price_usdt
    return True


def sum_of_sizes(ladder: Ladder) -> float:
    """Return the sum of the sizes of a ladder, in the order of its rungs."""
    total = 0.0
    for k in range(min(ladder.count, RUNGS_MAX)):
        total += rung_at(ladder, k).size
    return total
