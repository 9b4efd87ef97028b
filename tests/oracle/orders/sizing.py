"""Size, margin and costs (sections 2 and 3)."""

from __future__ import annotations

from dataclasses import dataclass

from tests.oracle.exchange import MINIMUM_NOTIONAL, Values, fraction, liquidation_price, tiers_for
from tests.oracle.rounding import Contract, floor_size

from .answers import Entry


@dataclass(frozen=True)
class Plan:
    """A sized entry: quantity, planned price and stop, and R1; or the reason that refuses it."""

    quantity: float = 0.0
    price: float = 0.0
    stop: float = 0.0
    r1: float = 0.0
    reason: str | None = None


def entry_fee_rate(values: Values, kind: str) -> float:
    """ "f = entry fee rate: t, for a limit m" """
    return fraction(values, "maker_fee_percent" if kind == "limit" else "taker_fee_percent")


def loss_per_unit(values: Values, kind: str, entry: float, stop: float, s: float) -> float:
    """ "e = entry cost rate of u and `cost_to_stop`: t + s, for a limit m"; "u = |E - SL| + e*E + (t+s)*SL" """
    cost = fraction(values, "taker_fee_percent") + s
    e = entry_fee_rate(values, kind) if kind == "limit" else cost
    return abs(entry - stop) + e * entry + cost * stop


def tied_pending(values: Values, kind: str, quantity: float, entry: float) -> float:
    """ "Pending T = q*E/L + (f + t)*(q*E)" """
    rates = entry_fee_rate(values, kind) + fraction(values, "taker_fee_percent")
    return quantity * entry / values["leverage"] + rates * (quantity * entry)


def costs_too_much(values: Values, kind: str, entry: float, stop: float, s: float) -> bool:
    """ "for a limit `cost_to_stop` refuses when e*E + (t+s)*SL > max*|E - SL|, otherwise as in the model" """
    limit, cost = values["max_cost_to_stop"], fraction(values, "taker_fee_percent") + s
    if not limit > 0:
        return False
    if kind == "limit":
        return entry_fee_rate(values, kind) * entry + cost * stop > limit * abs(entry - stop)
    return cost * (entry + stop) / abs(entry - stop) > limit


def is_beyond_liquidation(
    values: Values, contract: Contract, d: int, quantity: float, entry: float, stop: float
) -> bool:
    """Model 5: "reject the entry unless |E - liq| >= 1.5*|E - SL|" """
    taker, tiers = fraction(values, "taker_fee_percent"), tiers_for(values, contract)
    liquidation = liquidation_price(d, quantity, entry, values["leverage"], taker, tiers)
    distance = values["liquidation_distance_min"] * abs(entry - stop)
    return liquidation is not None and abs(entry - liquidation) < distance


def plan_entry(
    values: Values,
    contract: Contract,
    entry: Entry,
    planned: float,
    s: float,
    equity: float,
    available: float,
    units_max: float,
) -> Plan:
    """Section 3: "q = floor(min(asked, q_risk, q_slot, q_margin)): the caps stay"; then the model's refusals from
    `stop_too_close` on."""
    leverage, d, kind = values["leverage"], entry.d, entry.kind
    stop = entry.stop_from(planned, contract.tick)
    u = loss_per_unit(values, kind, planned, stop, s)
    free = fraction(values, "free_margin_percent")
    q_risk = (fraction(values, "max_risk_per_trade_percent") * equity / u if u > 0 else 0.0) / units_max
    q_slot = ((1.0 - free) * equity / values["max_concurrent_positions"]) * leverage / planned / units_max
    rates = entry_fee_rate(values, kind) + fraction(values, "taker_fee_percent")
    q_margin = (available - free * equity) / (planned / leverage + rates * planned)
    caps = [q_risk, q_slot, q_margin]
    if entry.size_usdt is not None:
        caps.append(entry.size_usdt / planned)
    if entry.risk_percent is not None:
        caps.append(entry.risk_percent / 100.0 * equity / u if u > 0 else 0.0)
    quantity = floor_size(min(caps), contract.lot)
    plan = Plan(quantity, planned, stop, quantity * u)
    lot = contract.lot.a / contract.lot.b
    if stop <= 0 or stop == planned:
        return refused(plan, "stop_too_close")
    if is_beyond_liquidation(values, contract, d, max(quantity, lot), planned, stop):
        return refused(plan, "stop_beyond_liquidation")
    if costs_too_much(values, kind, planned, stop, s):
        return refused(plan, "cost_to_stop")
    if quantity < lot or quantity * planned < MINIMUM_NOTIONAL or q_margin <= 0:
        return refused(plan, "below_minimum")
    return plan


def refused(plan: Plan, reason: str) -> Plan:
    """The plan that names the reason of its refusal."""
    return Plan(plan.quantity, plan.price, plan.stop, plan.r1, reason)
