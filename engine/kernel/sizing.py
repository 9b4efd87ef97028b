"""Turn the answer of `enter` into an order of a size that its risk allows, or into a refusal, at the signal's close.

What an answer says is checked first, then the limits of the account; always in the same order, so that the reason of a
refusal is always the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.engine.kernel.answers import RUNGS_MAX, rung_at
from papertape.engine.kernel.codes import (
    BELOW_MINIMUM,
    CORRELATION,
    COST_TO_STOP,
    ENTRY,
    LADDER,
    LIMIT_BEYOND_MARKET,
    LIMIT_ORDER,
    LONG,
    MARKET_ORDER,
    MAX_POSITIONS,
    NO_REASON,
    NOT_A_NUMBER,
    ORDER_PLACED,
    ORDER_REJECTED,
    SHORT,
    SIGNAL,
    STOP_BEHIND_MARKET,
    STOP_BEYOND_LIQUIDATION,
    STOP_ORDER,
    STOP_TOO_CLOSE,
    STOP_WRONG_SIDE,
    TARGET_WRONG_SIDE,
    UNITS,
)
from papertape.engine.kernel.evolve import evolve
from papertape.engine.kernel.fills import is_below_minimum, slippage_now
from papertape.engine.kernel.margin import available_margin, liquidation_price, order_fee
from papertape.engine.kernel.orders import clear_plan, expiry_ms
from papertape.engine.kernel.plans import (
    EXPIRES_CANDLES_MAX,
    TOLERANCE,
    has_valid_trailing,
    is_add_ladder,
    is_amount,
    is_price,
    is_target_ladder,
    last_target,
    price_of_target,
    round_adds,
    round_targets,
    sum_of_sizes,
    towards_loss,
    towards_profit,
)
from papertape.engine.kernel.rounding import fits_grid, market_price, quantity_down, stop_price, target_price

if TYPE_CHECKING:
    from papertape.engine.kernel.answers import Plan
    from papertape.engine.kernel.decision import Decision
    from papertape.engine.kernel.state import (
        Account,
        AccountRules,
        Contract,
        Contracts,
        Desks,
        Fact,
        Series,
        SymbolState,
        Tiers,
        TierTables,
    )


def direction(desk: SymbolState) -> int:
    """Return the side of a symbol's position or pending entry; 0 if there is neither."""
    if desk.position.side != 0:
        return desk.position.side
    return desk.order.side if desk.order.action == ENTRY else 0


def count_positions(desks: Desks) -> int:
    """Return the number of symbols with a position or a pending entry."""
    held = 0
    for k in range(len(desks)):
        if direction(desks[k]) != 0:
            held += 1
    return held


def exposure_refusal(side: int, symbol: int, desks: Desks, contracts: Contracts, rules: AccountRules) -> int:
    """Return the refusal by the number of positions or by correlated ones of the same direction, 0 if none."""
    together = 0
    for k in range(len(desks)):
        if direction(desks[k]) == side and contracts[k].group == contracts[symbol].group:
            together += 1
    if count_positions(desks) >= rules.positions_max:
        return MAX_POSITIONS
    if together >= rules.same_direction_max:
        return CORRELATION
    return NO_REASON


def place_entry(
    side_answer: float,
    answer: Plan,
    fact: Fact,
    candle: Series,
    units_max: int,
    account: Account,
    desks: Desks,
    rules: AccountRules,
    contracts: Contracts,
    tiers: TierTables,
    decision: Decision,
) -> None:
    """Decide on a strategy's answer and apply it: an order with its whole plan, or a refusal.

    An invalid answer is refused before anything is computed with it.
    """
    slippage = slippage_now(rules, candle.turbulent)
    side, contract = LONG if side_answer > 0 else SHORT, contracts[fact.symbol]
    clear_plan(decision)
    decision.symbol = fact.symbol
    decision.at_ms = fact.time_ms
    decision.action = ENTRY
    decision.side = side
    decision.score = answer.score * 1.0
    decision.reason = _fault(side_answer, side, fact.close, slippage, units_max, answer, contract, decision)
    if decision.reason == NO_REASON:
        _size(side, fact.symbol, slippage, units_max, answer, account, desks, rules, contracts, tiers, decision)
    elif decision.reason == NOT_A_NUMBER:
        decision.score = 0.0
    if decision.reason != NO_REASON:
        decision.kind = ORDER_REJECTED
        return
    decision.kind = ORDER_PLACED
    decision.reason = SIGNAL
    decision.units = 1.0 + sum_of_sizes(answer.adds)
    if decision.order_kind != MARKET_ORDER:
        decision.expires_candles = answer.expires_candles
        decision.expires_at_ms = expiry_ms(fact.time_ms, answer.expires_candles, candle.timeframe_ms)
    decision.trail_fraction = answer.trail_fraction
    decision.trail_after_fraction = answer.trail_after_fraction
    decision.breakeven_after_fraction = answer.breakeven_after_fraction
    _copy_ladders(answer, decision)
    evolve(desks[fact.symbol], account, decision)


def _copy_ladders(answer: Plan, decision: Decision) -> None:
    """Copy targets and adds, which are valid, into the order."""
    decision.targets.count = answer.targets.count
    for k in range(answer.targets.count):
        target, named = rung_at(decision.targets, k), rung_at(answer.targets, k)
        target.price_usdt = named.price_usdt
        target.fraction = named.fraction
        target.size = named.size
    decision.adds.count = answer.adds.count
    for k in range(answer.adds.count):
        add, named = rung_at(decision.adds, k), rung_at(answer.adds, k)
        add.kind = named.kind
        add.price_usdt = named.price_usdt
        add.size = named.size
        add.expires_candles = named.expires_candles


# ---------------------------------------------------------------- what the answer says


def _fault(
    side_answer: float,
    side: int,
    close: float,
    slippage: float,
    units_max: int,
    answer: Plan,
    contract: Contract,
    decision: Decision,
) -> int:
    """Return the reason that refuses what an answer says, 0 if it is valid.

    Write the planned entry, the stop and the short form of a target into the decision.
    """
    if side_answer != side or not _is_number(side, close, slippage, answer, contract, decision):
        return NOT_A_NUMBER
    entry, targets = decision.planned_price_usdt, answer.targets
    stop = planned_stop(side, decision, contract)
    if side * (entry - stop) < 0.0:
        return STOP_WRONG_SIDE
    if side * (target_price(entry, side, decision.target_fraction, contract) - entry) < 0.0:
        return TARGET_WRONG_SIDE
    for k in range(min(targets.count, RUNGS_MAX)):
        if side * (price_of_target(targets, k, entry, side, contract) - entry) < 0.0:
            return TARGET_WRONG_SIDE
    if answer.kind == LIMIT_ORDER and side * (decision.price_usdt - close) >= 0.0:
        return LIMIT_BEYOND_MARKET
    if answer.kind == STOP_ORDER and side * (decision.price_usdt - close) <= 0.0:
        return STOP_BEHIND_MARKET
    if not is_target_ladder(targets, entry, side, contract):
        return LADDER
    if targets.count > 0 and decision.target_fraction != 0.0:
        return LADDER
    target = last_target(targets, entry, side, contract)
    if decision.target_fraction != 0.0:
        target = target_price(entry, side, decision.target_fraction, contract)
    if not is_add_ladder(answer.adds, side, entry, stop, target, 0):
        return LADDER
    return UNITS if 1.0 + sum_of_sizes(answer.adds) > units_max + TOLERANCE else NO_REASON


def _is_number(side: int, close: float, slippage: float, answer: Plan, contract: Contract, decision: Decision) -> bool:
    """Return whether every number of an answer is finite and in its range; put its prices on the grid."""
    kind, price = answer.kind, answer.price_usdt * 1.0
    decision.order_kind = kind
    decision.stop_fraction = answer.stop_fraction * 1.0
    decision.target_fraction = answer.target_fraction * 1.0
    entry = close
    if kind in (LIMIT_ORDER, STOP_ORDER):
        if not is_price(price, contract) or not 1 <= answer.expires_candles <= EXPIRES_CANDLES_MAX:
            return False
        limit = kind == LIMIT_ORDER
        entry = towards_loss(price, side, contract) if limit else towards_profit(price, side, contract)
        decision.price_usdt = entry
    elif kind != MARKET_ORDER:
        return False
    decision.planned_price_usdt = entry if kind == LIMIT_ORDER else market_price(entry, side, slippage, contract)
    if answer.stop_price_usdt != 0.0:
        if decision.stop_fraction != 0.0 or not is_price(answer.stop_price_usdt * 1.0, contract):
            return False
        decision.stop_price_usdt = towards_loss(answer.stop_price_usdt * 1.0, side, contract)
    stop = decision.planned_price_usdt * (1.0 - side * decision.stop_fraction)
    target = decision.planned_price_usdt * (1.0 + side * decision.target_fraction)
    return (
        decision.score - decision.score == 0.0
        and fits_grid(stop, contract)
        and fits_grid(target, contract)
        and is_amount(answer.size_usdt * 1.0)
        and is_amount(answer.risk_percent * 1.0)
        and has_valid_trailing(answer)
        and round_targets(answer.targets, decision.planned_price_usdt, side, contract)
        and round_adds(answer.adds, side, contract)
    )


def planned_stop(side: int, decision: Decision, contract: Contract) -> float:
    """Return the stop of a planned entry, given as a price or as a fraction of the entry."""
    if decision.stop_price_usdt > 0.0:
        return decision.stop_price_usdt
    return stop_price(decision.planned_price_usdt, side, decision.stop_fraction, contract)


# ---------------------------------------------------------------- how much


def _size(
    side: int,
    symbol: int,
    slippage: float,
    units_max: int,
    answer: Plan,
    account: Account,
    desks: Desks,
    rules: AccountRules,
    contracts: Contracts,
    tiers: TierTables,
    decision: Decision,
) -> None:
    """Compute the quantity, or find the limit that refuses.

    Loss per unit at the stop: u = |E - SL| + e * E + (t + s) * SL, where e is what the entry costs. The quantity is the
    least of what risk, an equal share of the usable margin, the available margin and the strategy itself allow, floored
    to the lot. Risk and share are for the position with all its units.
    """
    contract, entry, fee = contracts[symbol], decision.planned_price_usdt, order_fee(decision.order_kind, rules)
    stop, cost = planned_stop(side, decision, contract), rules.taker_fee + slippage
    entry_cost = fee if decision.order_kind == LIMIT_ORDER else cost
    loss = abs(entry - stop) + entry_cost * entry + cost * stop
    # Without costs a stop on the entry loses nothing; it is refused below.
    by_risk = rules.risk_per_trade * account.equity_usdt / loss / units_max if loss > 0.0 else 0.0
    share = (1.0 - rules.free_margin) * account.equity_usdt / rules.positions_max
    by_slot = share * rules.leverage / entry / units_max
    spare = available_margin(account, desks, rules) - rules.free_margin * account.equity_usdt
    by_margin = spare / (entry / rules.leverage + (fee + rules.taker_fee) * entry)
    allowed = min(by_risk, by_slot, by_margin)
    if answer.size_usdt > 0.0:
        allowed = min(allowed, answer.size_usdt / entry)
    if answer.risk_percent > 0.0 and loss > 0.0:
        allowed = min(allowed, answer.risk_percent / 100.0 * account.equity_usdt / loss)
    quantity = quantity_down(allowed, contract)
    reason = exposure_refusal(side, symbol, desks, contracts, rules)
    if reason == NO_REASON:
        limit = decision.order_kind == LIMIT_ORDER
        costs = entry_cost * entry + cost * stop if limit else cost * (entry + stop)
        reason = _refusal(side, quantity, by_margin, entry, stop, costs, limit, rules, contract, tiers[symbol])
    decision.reason = reason
    decision.quantity_base = quantity
    decision.risk_usdt = quantity * loss


def _refusal(
    side: int,
    quantity: float,
    by_margin: float,
    entry: float,
    stop: float,
    costs: float,
    limit: bool,
    rules: AccountRules,
    contract: Contract,
    tiers: Tiers,
) -> int:
    """Return the refusal by the stop's place, by the costs of a unit against it, or by the order's size, 0 if none."""
    distance = abs(entry - stop)
    if stop <= 0.0 or distance == 0.0:
        return STOP_TOO_CLOSE
    one_lot = contract.lot_numerator / contract.lot_denominator
    liquidation = liquidation_price(side, max(quantity, one_lot), entry, rules, tiers, contract.tiers)
    if liquidation > 0.0 and abs(entry - liquidation) < rules.liquidation_distance_min * distance:
        return STOP_BEYOND_LIQUIDATION
    most = rules.cost_to_stop_max
    if most > 0.0 and (costs > most * distance if limit else costs / distance > most):
        return COST_TO_STOP
    return BELOW_MINIMUM if by_margin <= 0.0 or is_below_minimum(quantity, entry, contract) else NO_REASON
