"""Round prices to their tick and quantities to their lot, with integers: tick and lot are ratios a/b.

A margin of 1e-6 of a step keeps a number that is on the grid in its place in spite of binary fractions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from papertape.engine.kernel.state import Contract


STEPS_MAX = 9_007_199_254_740_992.0
"""2^53: from here on a float cannot represent every integer."""


def fits_grid(price_usdt: float, contract: Contract) -> bool:
    """Return whether a price can be counted in ticks; NaN, infinity and prices too large for a float cannot."""
    return abs(price_usdt * contract.tick_denominator / contract.tick_numerator) < STEPS_MAX


def floor_steps(value: float, numerator: int, denominator: int) -> int:
    """Return how many whole steps of numerator/denominator fit into `value`."""
    return int(value * denominator / numerator + 1e-6)


def ceil_steps(value: float, numerator: int, denominator: int) -> int:
    """Return the fewest steps that reach `value`."""
    steps = value * denominator / numerator - 1e-6
    whole = int(steps)
    return whole + 1 if whole < steps else whole


def price_down(price_usdt: float, contract: Contract) -> float:
    """Return the next price on the grid at or below, at least one tick."""
    ticks = max(1, floor_steps(price_usdt, contract.tick_numerator, contract.tick_denominator))
    return ticks * contract.tick_numerator / contract.tick_denominator


def price_up(price_usdt: float, contract: Contract) -> float:
    """Return the next price on the grid at or above, at least one tick."""
    ticks = max(1, ceil_steps(price_usdt, contract.tick_numerator, contract.tick_denominator))
    return ticks * contract.tick_numerator / contract.tick_denominator


def quantity_down(quantity_base: float, contract: Contract) -> float:
    """Return the quantity floored to the lot; 0 if it is less than one lot."""
    lots = max(0, floor_steps(quantity_base, contract.lot_numerator, contract.lot_denominator))
    return lots * contract.lot_numerator / contract.lot_denominator


def market_price(reference_usdt: float, buy: int, slippage: float, contract: Contract) -> float:
    """Return the price of a market fill: slipped, then rounded against the trader; `buy` is +1, or -1 for a sell."""
    slipped = reference_usdt * (1.0 + buy * slippage)
    return price_up(slipped, contract) if buy > 0 else price_down(slipped, contract)


def stop_price(entry_usdt: float, side: int, stop_fraction: float, contract: Contract) -> float:
    """Return the stop of a position, rounded away from the entry."""
    raw = entry_usdt * (1.0 - side * stop_fraction)
    return price_down(raw, contract) if side > 0 else price_up(raw, contract)


def target_price(entry_usdt: float, side: int, target_fraction: float, contract: Contract) -> float:
    """Return the target of a position, rounded away from the entry."""
    raw = entry_usdt * (1.0 + side * target_fraction)
    return price_up(raw, contract) if side > 0 else price_down(raw, contract)


def traded_through(price_usdt: float, target_usdt: float, side: int, contract: Contract) -> bool:
    """Return whether `price_usdt` passed a resting target by at least one tick; a touch does not fill."""
    a, b = contract.tick_numerator, contract.tick_denominator
    if side > 0:
        return floor_steps(price_usdt, a, b) >= floor_steps(target_usdt, a, b) + 1
    return ceil_steps(price_usdt, a, b) <= ceil_steps(target_usdt, a, b) - 1
