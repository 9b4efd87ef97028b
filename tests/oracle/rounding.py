"""Model section 7: prices and sizes on their grid, and the contract specification of files."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any


@dataclass(frozen=True)
class Step:
    """ "Tick and lot are ratios of integers a/b (0.1 = 1/10, 0.5 = 1/2, 10 = 10/1)." """

    a: int
    b: int


@dataclass(frozen=True)
class Contract:
    """Tick, lot and maintenance tiers of one symbol; tiers are (start notional, k), None means the default tier."""

    tick: Step
    lot: Step
    tiers: tuple[tuple[float, float], ...] | None = None


def floor_steps(x: float, step: Step) -> int:
    """ "Floor: i = int(x*b/a + 1e-6)." """
    return int(x * step.b / step.a + 1e-6)


def ceil_steps(x: float, step: Step) -> int:
    """ "Ceil: y = x*b/a - 1e-6, i = int(y), + 1 if i < y." """
    y = x * step.b / step.a - 1e-6
    i = int(y)
    return i + 1 if i < y else i


def price_of(steps: int, tick: Step) -> float:
    """ "Price = i*a/b, at least one tick." """
    return max(steps, 1) * tick.a / tick.b


def floor_price(x: float, tick: Step) -> float:
    """Round a price down to its grid."""
    return price_of(floor_steps(x, tick), tick)


def ceil_price(x: float, tick: Step) -> float:
    """Round a price up to its grid."""
    return price_of(ceil_steps(x, tick), tick)


def market_price(reference: float, buy: bool, slippage: float, tick: Step) -> float:
    """Section 3: "P_fill = P_ref*(1 + b*s), b = +1 buy, -1 sell; then rounded AGAINST the trader"."""
    if buy:
        return ceil_price(reference * (1.0 + slippage), tick)
    return floor_price(reference * (1.0 - slippage), tick)


def stop_price(entry: float, d: int, fraction: float, tick: Step) -> float:
    """ "SL = E*(1 - d*stop_fraction)"; "SL long floor, short ceil"."""
    raw = entry * (1.0 - d * fraction)
    return floor_price(raw, tick) if d == 1 else ceil_price(raw, tick)


def target_price(entry: float, d: int, fraction: float, tick: Step) -> float:
    """ "TP = E*(1 + d*target_fraction)"; "TP long ceil, short floor (both away from E)"."""
    raw = entry * (1.0 + d * fraction)
    return ceil_price(raw, tick) if d == 1 else floor_price(raw, tick)


def floor_size(x: float, lot: Step) -> float:
    """ "Sizes always floor". A size has no smallest value: it may be 0."""
    return floor_steps(x, lot) * lot.a / lot.b


def decimals_written(value: str | float) -> int:
    """How many decimals a price is written with; a float that is whole has none."""
    if isinstance(value, float) and value.is_integer():
        return 0
    exponent = Decimal(str(value)).as_tuple().exponent
    return max(0, -int(exponent))


def contract_of_rows(rows: list[tuple[Any, ...]]) -> Contract:
    """Section 7, but over the whole file: tick = 10^-n, n = the most decimals written in any price; lot = the largest
    power of ten worth at most 10 USDT at the first open and at most 100 USDT at the highest price."""
    n = max(decimals_written(price) for row in rows for price in row[1:5])
    first, highest = lot_of_open(float(rows[0][1])), lot_of_open(max(float(row[2]) for row in rows) / 10.0)
    return Contract(tick=Step(1, 10**n), lot=first if first.a * highest.b <= highest.a * first.b else highest)


def lot_of_open(first_open: float) -> Step:
    """The largest power of ten worth at most 10 USDT at this price."""
    if first_open > 10.0:
        b = 10
        while first_open > 10.0 * b:
            b *= 10
        return Step(1, b)
    a = 1
    while first_open * (a * 10) <= 10.0:
        a *= 10
    return Step(a, 1)
