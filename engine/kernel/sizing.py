"""Size an entry by its risk, at the signal's close: return how much, or which limit refuses it.

Limits are checked in a fixed order, so the reason of a refusal is always the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.engine.kernel.codes import (
    BELOW_MINIMUM,
    CORRELATION,
    COST_TO_STOP,
    ENTRY,
    LONG,
    MAX_POSITIONS,
    NO_REASON,
    NOT_A_NUMBER,
    ORDER_PLACED,
    ORDER_REJECTED,
    SHORT,
    SIGNAL,
    STOP_BEYOND_LIQUIDATION,
    STOP_TOO_CLOSE,
    STOP_WRONG_SIDE,
    TARGET_WRONG_SIDE,
)
from papertape.engine.kernel.margin import available_margin, liquidation_price
from papertape.engine.kernel.rounding import fits_grid, market_price, quantity_down, stop_price, target_price

if TYPE_CHECKING:
    from papertape.engine.kernel.decision import Decision
    from papertape.engine.kernel.state import (
        Account,
        AccountRules,
        Contract,
        Contracts,
        Desks,
        Fact,
        SymbolState,
        Tiers,
        TierTables,
    )


def direction(desk: SymbolState) -> int:
    """Return the side of a symbol's position or pending entry; 0 if there is neither."""
    if desk.position.side != 0:
        return desk.position.side
    return desk.order.side if desk.order.action == ENTRY else 0


def exposure_refusal(side: int, symbol: int, desks: Desks, contracts: Contracts, rules: AccountRules) -> int:
    """Return the refusal by the number of positions or by correlated ones of the same direction, 0 if none."""
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
    answer: float,
    fact: Fact,
    slippage: float,
    account: Account,
    desks: Desks,
    rules: AccountRules,
    contracts: Contracts,
    tiers: TierTables,
    decision: Decision,
) -> None:
    """Turn a strategy's `answer` (its side; stop and target fraction in `decision`) into an order or a refusal.

    An invalid answer is refused before anything is computed with it.
    """
    side, contract = LONG if answer > 0 else SHORT, contracts[fact.symbol]
    entry = market_price(fact.close, side, slippage, contract)
    decision.symbol = fact.symbol
    decision.at_ms = fact.time_ms
    decision.action = ENTRY
    decision.side = side
    decision.reason = _fault(answer, side, entry, contract, decision)
    if decision.reason == NO_REASON:
        _size(side, entry, fact.symbol, slippage, account, desks, rules, contracts, tiers, decision)
    elif decision.reason == NOT_A_NUMBER:
        decision.score = 0.0
    decision.kind = ORDER_PLACED if decision.reason == NO_REASON else ORDER_REJECTED
    if decision.reason == NO_REASON:
        decision.reason = SIGNAL


def _fault(answer: float, side: int, entry: float, contract: Contract, decision: Decision) -> int:
    """Return the reason code that refuses an answer's numbers, 0 if they are valid.

    Multiplying by 1.0 converts the strategy's number to a float; a number minus itself is 0 if it is finite.
    """
    decision.stop_fraction = decision.stop_fraction * 1.0
    decision.target_fraction = decision.target_fraction * 1.0
    decision.score = decision.score * 1.0
    stop = entry * (1.0 - side * decision.stop_fraction)
    target = entry * (1.0 + side * decision.target_fraction)
    if answer != side or decision.score - decision.score != 0.0:
        return NOT_A_NUMBER
    if not (fits_grid(stop, contract) and fits_grid(target, contract)):
        return NOT_A_NUMBER
    if side * (entry - stop_price(entry, side, decision.stop_fraction, contract)) < 0.0:
        return STOP_WRONG_SIDE
    if side * (target_price(entry, side, decision.target_fraction, contract) - entry) < 0.0:
        return TARGET_WRONG_SIDE
    return NO_REASON


def _size(
    side: int,
    entry: float,
    symbol: int,
    slippage: float,
    account: Account,
    desks: Desks,
    rules: AccountRules,
    contracts: Contracts,
    tiers: TierTables,
    decision: Decision,
) -> None:
    """Compute the quantity, or find the limit that refuses.

    Loss per unit at the stop: u = |E - SL| + (t + s) * E + (t + s) * SL. The quantity is the least of what
    risk, an equal share of the usable margin, and the available margin allow, floored to the lot.
    """
    contract = contracts[symbol]
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
    reason = exposure_refusal(side, symbol, desks, contracts, rules)
    if reason == NO_REASON:
        reason = _refusal(side, quantity, by_margin, entry, stop, cost, rules, contract, tiers[symbol])
    decision.reason = reason
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
    rules: AccountRules,
    contract: Contract,
    tiers: Tiers,
) -> int:
    """Return the refusal by the stop's place, its cost, or the order's size, 0 if none."""
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
