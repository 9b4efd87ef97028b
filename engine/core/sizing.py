"""Size by risk, at the signal's close: how much, or which limit refuses.

Limits are asked in a fixed order, so that the reason of a refusal is always the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.core.codes import (
    BELOW_MINIMUM,
    CORRELATION,
    COST_TO_STOP,
    ENTRY,
    MAX_POSITIONS,
    NO_REASON,
    ORDER_PLACED,
    ORDER_REJECTED,
    SIGNAL,
    STOP_BEYOND_LIQUIDATION,
    STOP_TOO_CLOSE,
)
from engine.core.margin import available_margin, liquidation_price
from engine.core.rounding import market_price, quantity_down, stop_price

if TYPE_CHECKING:
    from engine.core.state import Account, Contract, Contracts, Decision, Desk, Desks, Fact, Rules, Tiers, TierTables


def direction(desk: Desk) -> int:
    """The side a desk stands on, with a position or a pending entry; 0 for none."""
    if desk.position.side != 0:
        return desk.position.side
    return desk.order.side if desk.order.action == ENTRY else 0


def crowding(side: int, symbol: int, desks: Desks, contracts: Contracts, rules: Rules) -> int:
    """The refusal by the number of positions or by correlated ones of the same direction, 0 for none."""
    held, together = 0, 0
    for k in range(len(desks)):
        standing = direction(desks[k])
        if standing != 0:
            held += 1
        if standing == side and contracts[k].group == contracts[symbol].group:
            together += 1
    if held >= rules.positions_max:
        return MAX_POSITIONS
    if together >= rules.same_direction_max:
        return CORRELATION
    return NO_REASON


def size_entry(
    fact: Fact,
    slippage: float,
    account: Account,
    desks: Desks,
    rules: Rules,
    contracts: Contracts,
    tiers: TierTables,
    decision: Decision,
) -> None:
    """Turn a signal (side, stop and target fraction in `decision`) into an order or a refusal.

    Loss per unit at the stop: u = |E - SL| + (t + s) * E + (t + s) * SL. The quantity is the least of what
    risk, an equal share of the usable margin, and the available margin allow, floored to the lot.
    """
    side, symbol = decision.side, fact.symbol
    contract = contracts[symbol]
    entry = market_price(fact.close, side, slippage, contract)
    stop = stop_price(entry, side, decision.stop_fraction, contract)
    cost = rules.taker_fee + slippage
    loss = abs(entry - stop) + cost * entry + cost * stop
    # Without costs a stop on the entry loses nothing; it is refused below.
    by_risk = rules.risk_per_trade * account.equity_usdt / loss if loss > 0.0 else 0.0
    share = (1.0 - rules.free_margin) * account.equity_usdt / rules.positions_max
    by_slot = share * rules.leverage / entry
    spare = available_margin(account, desks, rules) - rules.free_margin * account.equity_usdt
    by_margin = spare / (entry / rules.leverage + 2.0 * rules.taker_fee * entry)
    quantity = quantity_down(min(by_risk, by_slot, by_margin), contract)
    reason = crowding(side, symbol, desks, contracts, rules)
    if reason == NO_REASON:
        reason = _refusal(side, quantity, by_margin, entry, stop, cost, rules, contract, tiers[symbol])
    decision.kind = ORDER_PLACED if reason == NO_REASON else ORDER_REJECTED
    decision.symbol = symbol
    decision.at_ms = fact.time_ms
    decision.action = ENTRY
    decision.reason = SIGNAL if reason == NO_REASON else reason
    decision.quantity_base = quantity
    decision.planned_price_usdt = entry
    decision.risk_usdt = quantity * loss


def _refusal(
    side: int,
    quantity: float,
    by_margin: float,
    entry: float,
    stop: float,
    cost: float,
    rules: Rules,
    contract: Contract,
    tiers: Tiers,
) -> int:
    """The refusal by the stop's place, its cost, or the order's size, 0 for none."""
    distance = abs(entry - stop)
    if stop <= 0.0 or distance == 0.0:
        return STOP_TOO_CLOSE
    one_lot = contract.lot_numerator / contract.lot_denominator
    liquidation = liquidation_price(side, max(quantity, one_lot), entry, rules, tiers, contract.tiers)
    if liquidation > 0.0 and abs(entry - liquidation) < rules.liquidation_distance_min * distance:
        return STOP_BEYOND_LIQUIDATION
    if rules.cost_to_stop_max > 0.0 and cost * (entry + stop) / distance > rules.cost_to_stop_max:
        return COST_TO_STOP
    if quantity < one_lot or quantity * entry < contract.minimum_notional_usdt or by_margin <= 0.0:
        return BELOW_MINIMUM
    return NO_REASON
