"""Fills: an entry opens a position, an add enlarges it, a target or an order reduces it, and something ends it.

Each function decides one fill at a given price, with its fees and the figures of the position afterwards, and applies
it. Which orders a candle fills, in which order and at which prices, is in `engine.kernel.matching`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.engine.kernel.answers import RUNGS_MAX, rung_at
from papertape.engine.kernel.codes import (
    ADD,
    BELOW_MINIMUM,
    FUNDING_PAID,
    LIMIT_ORDER,
    MARGIN,
    NO_REASON,
    POSITION_CLOSED,
    POSITION_INCREASED,
    POSITION_OPENED,
    POSITION_REDUCED,
    REDUCE,
    REDUCED,
    SIGNAL,
    STOP_BEYOND_LIQUIDATION,
    TARGET_ORDER,
)
from papertape.engine.kernel.evolve import evolve, slippage_cost
from papertape.engine.kernel.margin import available_margin, liquidation_price, order_fee, pending_margin, profit
from papertape.engine.kernel.orders import cancel_order
from papertape.engine.kernel.rounding import quantity_down, stop_price, target_price
from papertape.engine.kernel.state import SETTLEMENTS_MASK

if TYPE_CHECKING:
    from papertape.engine.kernel.decision import Decision, Decisions
    from papertape.engine.kernel.state import (
        Account,
        AccountRules,
        Contract,
        Desks,
        Fact,
        Market,
        Position,
        Settlements,
        SymbolState,
        Tiers,
    )

FULL_LADDER = 1.0 - 1e-9
"""From this sum of its parts on, a ladder of targets closes the whole position."""


def slippage_now(rules: AccountRules, turbulent: int) -> float:
    """Return the slippage fraction of a market order, which is higher in high volatility."""
    return rules.slippage * rules.high_volatility_multiplier if turbulent == 1 else rules.slippage


def book_funding(
    market: Market, settlements: Settlements, fact: Fact, desk: SymbolState, account: Account, out: Decisions, n: int
) -> int:
    """Book every settlement due at this open on the position that was open before it, oldest first.

    A position is open before a settlement if its entry was filled in a candle that opened before it.
    """
    for k in range(market.booked, market.due):
        settlement = settlements[k & SETTLEMENTS_MASK]
        position = desk.position
        if position.side != 0 and position.candle_open_ms < settlement.time_ms:
            decision = out[n]
            decision.kind = FUNDING_PAID
            decision.symbol = fact.symbol
            decision.side = position.side
            decision.at_ms = fact.open_time_ms
            decision.settled_at_ms = settlement.time_ms
            decision.rate = settlement.rate
            decision.quantity_base = position.quantity_base
            decision.price_usdt = fact.open
            decision.amount_usdt = -position.side * position.quantity_base * fact.open * settlement.rate
            evolve(desk, account, decision)
            n += 1
    return n


# ---------------------------------------------------------------- opening


def entry_stop(price: float, desk: SymbolState, contract: Contract) -> float:
    """Return the stop of a pending entry if it is filled at `price`."""
    order = desk.order
    if order.stop_price_usdt > 0.0:
        return order.stop_price_usdt
    return stop_price(price, order.side, order.stop_fraction, contract)


def entry_refusal(
    price: float,
    desk: SymbolState,
    desks: Desks,
    account: Account,
    rules: AccountRules,
    contract: Contract,
    tiers: Tiers,
) -> int:
    """Return why an entry cannot be filled at this price after all: for want of margin or by its stop; 0 if it can."""
    order = desk.order
    side, quantity, fee = order.side, order.quantity_base, order_fee(order.kind, rules)
    free = available_margin(account, desks, rules) + pending_margin(quantity, order.planned_price_usdt, fee, rules)
    if pending_margin(quantity, price, fee, rules) > free:
        return MARGIN
    distance = side * (price - order.stop_price_usdt)
    if order.stop_price_usdt > 0.0 and distance > 0.0:
        liquidation = liquidation_price(side, quantity, price, rules, tiers, contract.tiers)
        if liquidation > 0.0 and abs(price - liquidation) < rules.liquidation_distance_min * distance:
            return STOP_BEYOND_LIQUIDATION
    return NO_REASON


def open_position(
    price: float,
    reference: float,
    at_ms: int,
    fact: Fact,
    desk: SymbolState,
    account: Account,
    rules: AccountRules,
    contract: Contract,
    tiers: Tiers,
    decision: Decision,
) -> None:
    """Decide and apply the fill of an entry at `price`; targets given as fractions get their prices."""
    order = desk.order
    side, quantity = order.side, order.quantity_base
    decision.kind = POSITION_OPENED
    decision.symbol = fact.symbol
    decision.side = side
    decision.reason = SIGNAL
    decision.order_kind = order.kind
    decision.at_ms = at_ms
    decision.candle_open_ms = fact.open_time_ms
    decision.quantity_base = quantity
    decision.price_usdt = price
    decision.reference_price_usdt = reference
    decision.fee_usdt = quantity * price * order_fee(order.kind, rules)
    decision.slippage_usdt = slippage_cost(quantity, price, reference)
    decision.stop_price_usdt = entry_stop(price, desk, contract)
    decision.liquidation_price_usdt = max(0.0, liquidation_price(side, quantity, price, rules, tiers, contract.tiers))
    decision.margin_usdt = quantity * price / rules.leverage
    decision.risk_usdt = order.risk_usdt
    decision.targets.count = order.targets.count
    for k in range(min(order.targets.count, RUNGS_MAX)):
        rung, planned = rung_at(decision.targets, k), rung_at(order.targets, k)
        fixed = planned.price_usdt > 0.0
        rung.price_usdt = planned.price_usdt if fixed else target_price(price, side, planned.fraction, contract)
        rung.fraction = 0.0
        rung.size = planned.size
    decision.target_price_usdt = decision.targets.first.price_usdt if order.targets.count > 0 else 0.0
    evolve(desk, account, decision)


def increase_position(
    k: int,
    price: float,
    reference: float,
    slippage: float,
    ambiguous: int,
    at_ms: int,
    fact: Fact,
    desk: SymbolState,
    desks: Desks,
    account: Account,
    rules: AccountRules,
    contract: Contract,
    tiers: Tiers,
    decision: Decision,
) -> None:
    """Decide and apply the fill of the add with index `k`, or cancel it with the limit that refuses it.

    The average price is E' = (q * E + q2 * E2) / (q + q2). The add's risk is its loss at the stop as it stands.
    """
    position = desk.position
    rung = rung_at(position.adds, k)
    side, stop, fee = position.side, position.stop_price_usdt, order_fee(rung.kind, rules)
    quantity = quantity_down(position.first_base * rung.size, contract)
    whole = quantity_down(position.quantity_base + quantity, contract)
    average = (position.quantity_base * position.entry_price_usdt + quantity * price) / (
        position.quantity_base + quantity
    )
    liquidation = liquidation_price(side, whole, average, rules, tiers, contract.tiers)
    reason = NO_REASON
    if is_below_minimum(quantity, price, contract):
        reason = BELOW_MINIMUM
    elif (
        pending_margin(quantity, price, fee, rules)
        > available_margin(account, desks, rules) - rules.free_margin * account.equity_usdt
    ):
        reason = MARGIN
    elif (
        side * (average - stop) > 0.0
        and liquidation > 0.0
        and abs(average - liquidation) < rules.liquidation_distance_min * abs(average - stop)
    ):
        reason = STOP_BEYOND_LIQUIDATION
    if reason != NO_REASON:
        cancel_order(reason, ADD, k + 1, at_ms, fact.symbol, desk, account, decision)
        return
    entry_cost = fee + (0.0 if rung.kind == LIMIT_ORDER else slippage)
    decision.kind = POSITION_INCREASED
    decision.symbol = fact.symbol
    decision.side = side
    decision.order_kind = rung.kind
    decision.rung = k + 1
    decision.units = rung.size
    decision.ambiguous = ambiguous
    decision.at_ms = at_ms
    decision.quantity_base = quantity
    decision.price_usdt = price
    decision.reference_price_usdt = reference
    decision.fee_usdt = quantity * price * fee
    decision.slippage_usdt = slippage_cost(quantity, price, reference)
    decision.position_base = whole
    decision.entry_price_usdt = average
    decision.liquidation_price_usdt = max(0.0, liquidation)
    decision.margin_usdt = whole * average / rules.leverage
    decision.risk_usdt = quantity * (abs(price - stop) + entry_cost * price + (rules.taker_fee + slippage) * stop)
    evolve(desk, account, decision)


# ---------------------------------------------------------------- closing


def is_below_minimum(quantity_base: float, price_usdt: float, contract: Contract) -> bool:
    """Return whether a quantity is less than a lot, or worth less than the contract's minimum."""
    one_lot = contract.lot_numerator / contract.lot_denominator
    return quantity_base < one_lot or quantity_base * price_usdt < contract.minimum_notional_usdt


def part_to_close(reason: int, k: int, price: float, position: Position, contract: Contract) -> float:
    """Return how much of the position a reduce order or the target with index `k` closes; 0 if less than a lot.

    A target's part is of the position when its ladder was set: q * part / F, where F is 1 minus the parts filled since.
    The last target of a full ladder takes everything, and so does a part that would leave less than a minimum order.
    """
    whole = position.quantity_base
    if reason == REDUCED:
        share = position.reduce_fraction
    else:
        share, total = rung_at(position.targets, k).size / position.targets_left, 0.0
        for j in range(position.targets.count):
            total += rung_at(position.targets, j).size
        if k == position.targets.count - 1 and total >= FULL_LADDER:
            return whole
    part = quantity_down(whole * share, contract)
    if part > 0.0 and is_below_minimum(quantity_down(whole - part, contract), price, contract):
        return whole
    return min(part, whole)


def reduce_position(
    reason: int,
    k: int,
    quantity: float,
    price: float,
    reference: float,
    fee_rate: float,
    ambiguous: int,
    at_ms: int,
    fact: Fact,
    desk: SymbolState,
    account: Account,
    rules: AccountRules,
    contract: Contract,
    tiers: Tiers,
    decision: Decision,
) -> None:
    """Decide and apply the end of a part, or drop its order if the part is less than a lot.

    The part's share of the position's fees, funding and slippage goes with it. The average price stays.
    """
    position = desk.position
    if quantity <= 0.0:
        action = REDUCE if reason == REDUCED else TARGET_ORDER
        rung = 0 if reason == REDUCED else k + 1
        cancel_order(BELOW_MINIMUM, action, rung, at_ms, fact.symbol, desk, account, decision)
        return
    side, before, entry = position.side, position.quantity_base, position.entry_price_usdt
    rest = quantity_down(before - quantity, contract)
    decision.kind = POSITION_REDUCED
    decision.symbol = fact.symbol
    decision.side = side
    decision.reason = reason
    decision.rung = 0 if reason == REDUCED else k + 1
    decision.ambiguous = ambiguous
    decision.at_ms = at_ms
    decision.quantity_base = quantity
    decision.entry_price_usdt = entry
    decision.price_usdt = price
    decision.reference_price_usdt = reference
    decision.fee_usdt = quantity * price * fee_rate
    decision.gross_usdt = profit(side, quantity, entry, price)
    decision.fees_usdt = position.fee_usdt * quantity / before + decision.fee_usdt
    decision.funding_usdt = position.funding_usdt * quantity / before
    decision.slippage_usdt = position.slippage_usdt * quantity / before + slippage_cost(quantity, price, reference)
    decision.net_usdt = decision.gross_usdt - decision.fees_usdt + decision.funding_usdt
    decision.position_base = rest
    decision.liquidation_price_usdt = max(0.0, liquidation_price(side, rest, entry, rules, tiers, contract.tiers))
    decision.margin_usdt = rest * entry / rules.leverage
    evolve(desk, account, decision)


def close_position(
    reason: int,
    k: int,
    price: float,
    reference: float,
    fee_rate: float,
    ambiguous: int,
    at_ms: int,
    fact: Fact,
    desk: SymbolState,
    account: Account,
    contract: Contract,
    decision: Decision,
) -> None:
    """Decide and apply the end of the position at `price`: net = gross - fees + funding.

    `k` is the index of the target that was filled, -1 for any other reason. The figures of the closing fill are named
    `part_`; the others are those of the whole trade. Its prices are the averages of its fills.
    """
    position, closed = desk.position, desk.position.closed
    quantity, entry = position.quantity_base, position.entry_price_usdt
    decision.kind = POSITION_CLOSED
    decision.symbol = fact.symbol
    decision.side = position.side
    decision.reason = reason
    decision.rung = k + 1
    decision.ambiguous = max(closed.ambiguous, ambiguous)
    decision.at_ms = at_ms
    decision.entry_time_ms = position.entry_time_ms
    decision.reference_price_usdt = reference
    decision.fee_usdt = quantity * price * fee_rate
    decision.part_quantity_base = quantity
    decision.part_price_usdt = price
    decision.part_gross_usdt = profit(position.side, quantity, entry, price)
    decision.part_fees_usdt = position.fee_usdt + decision.fee_usdt
    decision.part_funding_usdt = position.funding_usdt
    decision.part_slippage_usdt = position.slippage_usdt + slippage_cost(quantity, price, reference)
    decision.part_net_usdt = decision.part_gross_usdt - decision.part_fees_usdt + decision.part_funding_usdt
    decision.parts = closed.parts + 1
    decision.max_quantity_base = position.max_base
    decision.quantity_base = quantity_down(position.opened_base, contract)
    # A sum of one number may differ from it in the last bit, or in the sign of a zero.
    grown = position.opened_base != position.first_base
    decision.entry_price_usdt = position.opened_usdt / position.opened_base if grown else entry
    decision.price_usdt = price
    decision.gross_usdt = decision.part_gross_usdt
    decision.fees_usdt = decision.part_fees_usdt
    decision.funding_usdt = decision.part_funding_usdt
    decision.slippage_usdt = decision.part_slippage_usdt
    if closed.parts > 0:
        decision.price_usdt = (closed.turnover_usdt + quantity * price) / (closed.quantity_base + quantity)
        decision.gross_usdt += closed.gross_usdt
        decision.fees_usdt += closed.fees_usdt
        decision.funding_usdt += closed.funding_usdt
        decision.slippage_usdt += closed.slippage_usdt
    decision.net_usdt = decision.gross_usdt - decision.fees_usdt + decision.funding_usdt
    decision.r_multiple = decision.net_usdt / position.risk_usdt
    evolve(desk, account, decision)
