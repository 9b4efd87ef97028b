"""The paper exchange inside one base candle: funding, the pending order, liquidation, stop and target.

For a position carried into the candle the first match ends it: liquidation at the open, a pending exit, a stop gapped
over, a target gapped through, the stop inside the bar, the target inside the bar. If stop and target both lie inside,
the stop is filled: the pessimistic rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.engine.kernel.codes import (
    ENTRY,
    EXIT,
    FUNDING_PAID,
    KILL_SWITCH,
    LATE_CANDLE,
    LIQUIDATION,
    MARGIN,
    NEXT_CANDLE_MISSING,
    NO_REASON,
    ON_TIME,
    ORDER_CANCELLED,
    POSITION_CLOSED,
    POSITION_OPENED,
    SIGNAL,
    STOP,
    TARGET,
)
from papertape.engine.kernel.evolve import evolve
from papertape.engine.kernel.margin import available_margin, liquidation_price, pending_margin, profit
from papertape.engine.kernel.rounding import market_price, stop_price, target_price, traded_through
from papertape.engine.kernel.state import SETTLEMENTS_MASK

if TYPE_CHECKING:
    from papertape.engine.kernel.decision import Decision, Decisions
    from papertape.engine.kernel.state import (
        Account,
        AccountRules,
        Contract,
        Contracts,
        Desks,
        Fact,
        Market,
        Position,
        Settlements,
        SymbolState,
        Tiers,
        TierTables,
    )


def slippage_now(rules: AccountRules, turbulent: int) -> float:
    """Return the slippage fraction of a market order, which is higher in high volatility."""
    return rules.slippage * rules.high_volatility_multiplier if turbulent == 1 else rules.slippage


# ---------------------------------------------------------------- funding


def book_funding(
    market: Market, settlements: Settlements, fact: Fact, desk: SymbolState, account: Account, out: Decisions, n: int
) -> int:
    """Book every settlement due at this open on the position that was open before it, oldest first."""
    for k in range(market.booked, market.due):
        settlement = settlements[k & SETTLEMENTS_MASK]
        position = desk.position
        if position.side != 0 and position.entry_time_ms < settlement.time_ms:
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


# ---------------------------------------------------------------- the way through a candle


def trade_candle(
    fact: Fact,
    turbulent: int,
    desk: SymbolState,
    desks: Desks,
    account: Account,
    rules: AccountRules,
    contracts: Contracts,
    tiers: TierTables,
    out: Decisions,
    n: int,
) -> int:
    """Match the pending order and the position with the candle; return the number of decisions so far."""
    slippage = slippage_now(rules, turbulent)
    contract = contracts[fact.symbol]
    if desk.position.side != 0:
        n = _meet_open(fact, slippage, desk, account, rules, contract, out, n)
    elif desk.order.action == ENTRY:
        n = _fill_entry(fact, slippage, desk, desks, account, rules, contract, tiers[fact.symbol], out, n)
    if desk.position.side != 0:
        n = _meet_range(fact, slippage, desk, account, rules, contract, out, n)
    return n


def _meet_open(
    fact: Fact,
    slippage: float,
    desk: SymbolState,
    account: Account,
    rules: AccountRules,
    contract: Contract,
    out: Decisions,
    n: int,
) -> int:
    """Match a carried position with the open."""
    position = desk.position
    side, opening = position.side, fact.open
    if position.liquidation_price_usdt > 0.0 and side * (opening - position.liquidation_price_usdt) <= 0.0:
        bankruptcy = position.entry_price_usdt - side * (position.entry_price_usdt / rules.leverage)
        return close_position(
            LIQUIDATION, bankruptcy, bankruptcy, 0.0, 0, fact.open_time_ms, fact, desk, account, out, n
        )
    reason = NO_REASON
    if desk.order.action == EXIT:
        reason = desk.order.reason
    elif side * (opening - position.stop_price_usdt) <= 0.0:
        reason = STOP
    if reason != NO_REASON:
        price = market_price(opening, -side, slippage, contract)
        return close_position(
            reason, price, opening, rules.taker_fee, 0, fact.open_time_ms, fact, desk, account, out, n
        )
    if traded_through(opening, position.target_price_usdt, side, contract):
        target = position.target_price_usdt
        return close_position(
            TARGET, target, target, rules.maker_fee, 0, fact.open_time_ms, fact, desk, account, out, n
        )
    return n


def _meet_range(
    fact: Fact,
    slippage: float,
    desk: SymbolState,
    account: Account,
    rules: AccountRules,
    contract: Contract,
    out: Decisions,
    n: int,
) -> int:
    """Match a position, also one opened at this open, with the range of the candle."""
    position = desk.position
    side, stop, target = position.side, position.stop_price_usdt, position.target_price_usdt
    adverse = fact.low if side > 0 else fact.high
    favourable = fact.high if side > 0 else fact.low
    stopped = side * (adverse - stop) <= 0.0
    if not stopped and side * (favourable - target) <= 0.0:
        return n
    reached = traded_through(favourable, target, side, contract)
    if stopped:
        price = market_price(stop, -side, slippage, contract)
        ambiguous = 1 if reached else 0
        return close_position(STOP, price, stop, rules.taker_fee, ambiguous, fact.time_ms, fact, desk, account, out, n)
    if reached:
        return close_position(TARGET, target, target, rules.maker_fee, 0, fact.time_ms, fact, desk, account, out, n)
    return n


# ---------------------------------------------------------------- fills


def _fill_entry(
    fact: Fact,
    slippage: float,
    desk: SymbolState,
    desks: Desks,
    account: Account,
    rules: AccountRules,
    contract: Contract,
    tiers: Tiers,
    out: Decisions,
    n: int,
) -> int:
    """Fill a pending entry at the open, or cancel it with a reason."""
    order = desk.order
    quantity = order.quantity_base
    price = market_price(fact.open, order.side, slippage, contract)
    reason = _expiry(fact, desk, account)
    if reason == NO_REASON:
        free = available_margin(account, desks, rules) + pending_margin(quantity, order.planned_price_usdt, rules)
        if pending_margin(quantity, price, rules) > free:
            reason = MARGIN
    decision = out[n]
    if reason != NO_REASON:
        cancel_entry(reason, fact.open_time_ms, fact.symbol, desk, decision)
    else:
        _open(price, slippage_cost(quantity, price, fact.open), fact, desk, rules, contract, tiers, decision)
    evolve(desk, account, decision)
    return n + 1


def _expiry(fact: Fact, desk: SymbolState, account: Account) -> int:
    """Return the reason why an entry can no longer be filled at this open, 0 if it can."""
    if fact.open_time_ms != desk.order.placed_at_ms:
        return NEXT_CANDLE_MISSING
    if fact.timing != ON_TIME:
        return LATE_CANDLE
    if account.tripped != 0:
        return KILL_SWITCH
    return NO_REASON


def cancel_entry(reason: int, at_ms: int, symbol: int, desk: SymbolState, decision: Decision) -> None:
    """Decide to cancel a pending entry."""
    decision.kind = ORDER_CANCELLED
    decision.symbol = symbol
    decision.side = desk.order.side
    decision.reason = reason
    decision.at_ms = at_ms


def slippage_cost(quantity_base: float, price_usdt: float, reference_usdt: float) -> float:
    """Return the cost of slippage in USDT; it is part of the fill price and serves reports only."""
    return quantity_base * abs(price_usdt - reference_usdt)


def _open(
    price: float,
    slippage_usdt: float,
    fact: Fact,
    desk: SymbolState,
    rules: AccountRules,
    contract: Contract,
    tiers: Tiers,
    decision: Decision,
) -> None:
    """Decide the fill of an entry at `price`."""
    order = desk.order
    side, quantity = order.side, order.quantity_base
    decision.kind = POSITION_OPENED
    decision.symbol = fact.symbol
    decision.side = side
    decision.reason = SIGNAL
    decision.at_ms = fact.open_time_ms
    decision.quantity_base = quantity
    decision.price_usdt = price
    decision.reference_price_usdt = fact.open
    decision.fee_usdt = quantity * price * rules.taker_fee
    decision.slippage_usdt = slippage_usdt
    decision.stop_price_usdt = stop_price(price, side, order.stop_fraction, contract)
    decision.target_price_usdt = target_price(price, side, order.target_fraction, contract)
    decision.liquidation_price_usdt = max(0.0, liquidation_price(side, quantity, price, rules, tiers, contract.tiers))
    decision.margin_usdt = quantity * price / rules.leverage
    decision.risk_usdt = order.risk_usdt


def close_position(
    reason: int,
    price: float,
    reference: float,
    fee_rate: float,
    ambiguous: int,
    at_ms: int,
    fact: Fact,
    desk: SymbolState,
    account: Account,
    out: Decisions,
    n: int,
) -> int:
    """Decide and apply the end of the position at `price`: net = gross - fees + funding."""
    position: Position = desk.position
    decision = out[n]
    quantity = position.quantity_base
    decision.kind = POSITION_CLOSED
    decision.symbol = fact.symbol
    decision.side = position.side
    decision.reason = reason
    decision.ambiguous = ambiguous
    decision.at_ms = at_ms
    decision.quantity_base = quantity
    decision.entry_time_ms = position.entry_time_ms
    decision.entry_price_usdt = position.entry_price_usdt
    decision.price_usdt = price
    decision.reference_price_usdt = reference
    decision.fee_usdt = quantity * price * fee_rate
    decision.gross_usdt = profit(position.side, quantity, position.entry_price_usdt, price)
    decision.fees_usdt = position.fee_usdt + decision.fee_usdt
    decision.funding_usdt = position.funding_usdt
    decision.slippage_usdt = position.slippage_usdt + slippage_cost(quantity, price, reference)
    decision.net_usdt = decision.gross_usdt - decision.fees_usdt + decision.funding_usdt
    decision.r_multiple = decision.net_usdt / position.risk_usdt
    evolve(desk, account, decision)
    return n + 1
