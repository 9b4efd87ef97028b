"""Model sections 2 to 6 and 8: margin, liquidation price, size by risk, and how a position ends inside a candle."""

from __future__ import annotations

from dataclasses import dataclass

from .files import Candle
from .rounding import Contract, ceil_steps, floor_size, floor_steps, market_price, stop_price, target_price

Values = dict[str, float]
MINIMUM_NOTIONAL = 5.0


@dataclass
class Order:
    """A pending order for the next open: an entry (d, quantity, ...) or an exit (reason)."""

    symbol: str
    close_time: int
    exit_reason: str | None = None
    d: int = 0
    quantity: float = 0.0
    planned: float = 0.0
    stop_fraction: float = 0.0
    target_fraction: float = 0.0
    r1: float = 0.0


@dataclass
class Position:
    """ "opened by one fill, closed by one fill" """

    symbol: str
    d: int
    quantity: float
    entry_time: int
    entry: float
    stop: float
    target: float
    liquidation: float | None
    open_fee: float
    entry_slippage: float
    r1: float
    funding: float = 0.0


@dataclass(frozen=True)
class Exit:
    """A fill that ends a position."""

    price: float
    time: int
    reason: str
    fee_rate: float
    slippage_per_unit: float
    ambiguous: bool = False


def fraction(values: Values, name: str) -> float:
    """ "Percent parameters are divided by 100.0 once to give a fraction." """
    return values[name] / 100.0


def slippage(values: Values, high_volatility: bool) -> float:
    """ "s = slippage_percent 0.05 % (MODEL, fixed), times high_volatility_multiplier 2.0 if the symbol's regime on the
    strategy's own timeframe was high volatility" """
    s = fraction(values, "slippage_percent")
    return s * values["high_volatility_multiplier"] if high_volatility else s


def tied_pending(quantity: float, entry: float, leverage: float, taker: float) -> float:
    """ "T = q*E/L + 2.0*t*(q*E) while pending (open fee and reserve)" """
    return quantity * entry / leverage + 2.0 * taker * (quantity * entry)


def tied_filled(quantity: float, entry: float, leverage: float, taker: float) -> float:
    """ "q*E/L + t*(q*E) once filled" """
    return quantity * entry / leverage + taker * (quantity * entry)


def liquidation_at(
    d: int, quantity: float, entry: float, leverage: float, taker: float, k: float, offset: float
) -> float:
    """ "liq = (IM + o - q*E*d)/(q*(k + t - d))" """
    margin = quantity * entry / leverage
    return (margin + offset - quantity * entry * d) / (quantity * (k + taker - d))


def tier_table(tiers: tuple[tuple[float, float], ...]) -> list[tuple[float, float, float]]:
    """ "Tier 1: o = 0; o_i = o_{i-1} + start_i*(k_i - k_{i-1})." Rows of (start, k, o)."""
    rows = [(tiers[0][0], tiers[0][1], 0.0)]
    for start, k in tiers[1:]:
        rows.append((start, k, rows[-1][2] + start * (k - rows[-1][1])))
    return rows


def liquidation_price(
    d: int, quantity: float, entry: float, leverage: float, taker: float, tiers: tuple[tuple[float, float], ...]
) -> float | None:
    """ "Tier depends on q*liq: iterate tier from q*E until stable (<= 12 steps). [...] If liq <= 0 there is none." """
    rows = tier_table(tiers)
    tier = tier_of(rows, quantity * entry)
    liquidation = 0.0
    for _ in range(12):
        _, k, offset = rows[tier]
        liquidation = liquidation_at(d, quantity, entry, leverage, taker, k, offset)
        following = tier_of(rows, quantity * liquidation)
        if following == tier:
            break
        tier = following
    return liquidation if liquidation > 0 else None


def tier_of(rows: list[tuple[float, float, float]], notional: float) -> int:
    """The last tier that starts at or below this notional."""
    found = 0
    for i, (start, _, _) in enumerate(rows):
        if notional >= start:
            found = i
    return found


def tiers_for(values: Values, contract: Contract) -> tuple[tuple[float, float], ...]:
    """ "No tiers given: one tier, k = 0.01 (maintenance_margin_percent 1.0), o = 0." """
    return contract.tiers or ((0.0, fraction(values, "maintenance_margin_percent")),)


def loss_per_unit(entry: float, stop: float, taker: float, s: float) -> float:
    """ "u = |E - SL| + (t+s)*E + (t+s)*SL" """
    return abs(entry - stop) + (taker + s) * entry + (taker + s) * stop


def size_entry(
    values: Values, contract: Contract, order: Order, close: float, s: float, equity: float, available: float
) -> tuple[str | None, float]:
    """Section 6. Fills quantity, planned price and R1 of the order; gives the reason of a refusal (after
    `max_positions` and `correlation`, which come first) and the planned stop."""
    taker, leverage, d = fraction(values, "taker_fee_percent"), values["leverage"], order.d
    entry = market_price(close, d == 1, s, contract.tick)
    stop = stop_price(entry, d, order.stop_fraction, contract.tick)
    u = loss_per_unit(entry, stop, taker, s)
    free = fraction(values, "free_margin_percent")
    q_risk = fraction(values, "max_risk_per_trade_percent") * equity / u
    q_slot = ((1.0 - free) * equity / values["max_concurrent_positions"]) * leverage / entry
    q_margin = (available - free * equity) / (entry / leverage + 2.0 * taker * entry)
    quantity = floor_size(min(q_risk, q_slot, q_margin), contract.lot)
    order.planned, order.quantity, order.r1 = entry, quantity, quantity * u
    if stop <= 0 or stop == entry:
        return "stop_too_close", stop
    lot = contract.lot.a / contract.lot.b
    size_for_liquidation = quantity if quantity > 0 else lot
    tiers = tiers_for(values, contract)
    liquidation = liquidation_price(d, size_for_liquidation, entry, leverage, taker, tiers)
    distance = values["liquidation_distance_min"] * abs(entry - stop)
    if liquidation is not None and not abs(entry - liquidation) >= distance:
        return "stop_beyond_liquidation", stop
    limit = values["max_cost_to_stop"]
    if limit > 0 and (taker + s) * (entry + stop) / abs(entry - stop) > limit:
        return "cost_to_stop", stop
    if quantity < lot or quantity * entry < MINIMUM_NOTIONAL or q_margin <= 0:
        return "below_minimum", stop
    return None, stop


def open_position(values: Values, contract: Contract, order: Order, candle: Candle, s: float) -> Position:
    """An entry fill at the open of a candle; SL, TP "from the entry *fill* price, rounded; fixed for the life"."""
    taker, d, quantity = fraction(values, "taker_fee_percent"), order.d, order.quantity
    entry = market_price(candle.open, d == 1, s, contract.tick)
    return Position(
        symbol=order.symbol,
        d=d,
        quantity=quantity,
        entry_time=candle.open_time,
        entry=entry,
        stop=stop_price(entry, d, order.stop_fraction, contract.tick),
        target=target_price(entry, d, order.target_fraction, contract.tick),
        liquidation=liquidation_price(d, quantity, entry, values["leverage"], taker, tiers_for(values, contract)),
        open_fee=quantity * entry * taker,
        entry_slippage=quantity * abs(entry - candle.open),
        r1=order.r1,
    )


def at_or_beyond(d: int, price: float, level: float) -> bool:
    """A long's price at or below a level; mirrored for a short."""
    return price <= level if d == 1 else price >= level


def through_target(position: Position, price: float, contract: Contract) -> bool:
    """ "Through by a tick is compared in ticks: floor(high) >= ticks(TP) + 1; ceil(low) <= ticks(TP) - 1." """
    ticks = floor_steps(position.target, contract.tick)
    if position.d == 1:
        return floor_steps(price, contract.tick) >= ticks + 1
    return ceil_steps(price, contract.tick) <= ticks - 1


def exit_at_open(
    position: Position, candle: Candle, pending: Order | None, values: Values, contract: Contract, s: float
) -> Exit | None:
    """Section 8, fills 1 to 4, which "carry time t_o"."""
    d, at_open, now = position.d, candle.open, candle.open_time
    taker, maker = fraction(values, "taker_fee_percent"), fraction(values, "maker_fee_percent")
    if position.liquidation is not None and at_or_beyond(d, at_open, position.liquidation):
        bankruptcy = position.entry - d * (position.entry / values["leverage"])
        return Exit(bankruptcy, now, "liquidation", 0.0, 0.0)
    market = market_price(at_open, d == -1, s, contract.tick)
    if pending is not None and pending.exit_reason is not None:
        return Exit(market, now, pending.exit_reason, taker, abs(market - at_open))
    if at_or_beyond(d, at_open, position.stop):
        return Exit(market, now, "stop", taker, abs(market - at_open))
    if through_target(position, at_open, contract):
        return Exit(position.target, now, "target", maker, 0.0)
    return None


def exit_inside(
    position: Position, candle: Candle, base: int, values: Values, contract: Contract, s: float
) -> Exit | None:
    """Section 8, fills 5 and 6, which "carry t_c"; "SL first (PESSIMISTIC RULE), ambiguous = true"."""
    d, then = position.d, candle.open_time + base
    taker, maker = fraction(values, "taker_fee_percent"), fraction(values, "maker_fee_percent")
    worst, best = (candle.low, candle.high) if d == 1 else (candle.high, candle.low)
    target_hit = through_target(position, best, contract)
    if at_or_beyond(d, worst, position.stop):
        price = market_price(position.stop, d == -1, s, contract.tick)
        return Exit(price, then, "stop", taker, abs(price - position.stop), target_hit)
    if target_hit:
        return Exit(position.target, then, "target", maker, 0.0)
    return None
