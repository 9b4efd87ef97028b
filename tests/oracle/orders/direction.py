"""Prices as a long sees them; a short is the mirror (orders.md: "Long is written, short is the mirror")."""

from __future__ import annotations

from tests.oracle.files import Candle
from tests.oracle.rounding import Step, ceil_price, ceil_steps, floor_price, floor_steps, market_price


def grid_above(d: int, x: float, tick: Step) -> float:
    """Put a long's price up on its grid, a short's down: a stop entry, a stop add, a target."""
    return ceil_price(x, tick) if d == 1 else floor_price(x, tick)


def grid_below(d: int, x: float, tick: Step) -> float:
    """Put a long's price down on its grid, a short's up: a limit, a stop."""
    return floor_price(x, tick) if d == 1 else ceil_price(x, tick)


def farther(d: int, price: float, than: float) -> bool:
    """Tell whether a price is strictly more favourable than another one."""
    return price > than if d == 1 else price < than


def reached(d: int, price: float, level: float) -> bool:
    """ "touch (reached or passed) as floats": the price rose to the level (a short's fell)."""
    return price >= level if d == 1 else price <= level


def fallen_to(d: int, price: float, level: float) -> bool:
    """The price fell to the level (a short's rose), as in "low <= SL"."""
    return reached(-d, price, level)


def through(d: int, price: float, level: float, tick: Step) -> bool:
    """ "Through by a tick": "floor(high) >= ticks(TP) + 1; ceil(low) <= ticks(TP) - 1" (model 7)."""
    ticks = floor_steps(level, tick)
    return floor_steps(price, tick) >= ticks + 1 if d == 1 else ceil_steps(price, tick) <= ticks - 1


def best_price(d: int, candle: Candle) -> float:
    """The high of a long's candle, the low of a short's."""
    return candle.high if d == 1 else candle.low


def worst_price(d: int, candle: Candle) -> float:
    """The low of a long's candle, the high of a short's."""
    return best_price(-d, candle)


def bought(d: int, reference: float, s: float, tick: Step) -> float:
    """The slipped price at which a position grows (a short's is sold): "rounded AGAINST the trader"."""
    return market_price(reference, d == 1, s, tick)


def sold(d: int, reference: float, s: float, tick: Step) -> float:
    """The slipped price at which a position shrinks."""
    return market_price(reference, d == -1, s, tick)
