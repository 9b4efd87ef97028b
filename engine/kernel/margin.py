"""Margin, equity and isolated liquidation of USDT-margined linear perpetuals. Contract size is one coin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.engine.kernel.codes import ENTRY, LIMIT_ORDER

if TYPE_CHECKING:
    from papertape.engine.kernel.state import Account, AccountRules, Desks, Position, SymbolState, Tiers

TIER_STEPS_MAX = 12


def profit(side: int, quantity_base: float, entry_usdt: float, price_usdt: float) -> float:
    """Return the gross profit of a position at a price, in USDT: d * q * (P - E)."""
    return side * quantity_base * (price_usdt - entry_usdt)


def order_fee(kind: int, rules: AccountRules) -> float:
    """Return the fee rate of an order's fill: a limit order rests in the book, every other order takes from it."""
    return rules.maker_fee if kind == LIMIT_ORDER else rules.taker_fee


def pending_margin(quantity_base: float, price_usdt: float, fee: float, rules: AccountRules) -> float:
    """Return what an entry ties up before its fill: initial margin, opening fee and the reserve for closing."""
    notional = quantity_base * price_usdt
    return notional / rules.leverage + (fee + rules.taker_fee) * notional


def committed_margin(desk: SymbolState, rules: AccountRules) -> float:
    """Return what a symbol's position or pending entry ties up of the account, in USDT; resting adds tie up nothing."""
    position, order = desk.position, desk.order
    if position.side != 0:
        notional = position.quantity_base * position.entry_price_usdt
        return notional / rules.leverage + rules.taker_fee * notional
    if order.action == ENTRY:
        return pending_margin(order.quantity_base, order.planned_price_usdt, order_fee(order.kind, rules), rules)
    return 0.0


def available_margin(account: Account, desks: Desks, rules: AccountRules) -> float:
    """Return the cash that nothing ties up; open profit never adds to it."""
    tied = 0.0
    for k in range(len(desks)):
        tied += committed_margin(desks[k], rules)
    return account.cash_usdt - tied


def open_profit(position: Position, price_usdt: float) -> float:
    """Return the gross profit of an open position at a price, in USDT."""
    return profit(position.side, position.quantity_base, position.entry_price_usdt, price_usdt)


def equity(account: Account, desks: Desks) -> float:
    """Return the cash plus the open profit of every symbol at its last close."""
    if account.positions == 0:
        return account.cash_usdt
    unrealised = 0.0
    for k in range(len(desks)):
        position = desks[k].position
        if position.side != 0:
            unrealised += open_profit(position, desks[k].mark_usdt)
    return account.cash_usdt + unrealised


def liquidation_price(
    side: int, quantity_base: float, entry_usdt: float, rules: AccountRules, tiers: Tiers, tier_count: int
) -> float:
    """Return where margin plus loss meets the maintenance margin, in USDT, not rounded; 0 or less means nowhere.

    (IM + o - q*E*d) / (q * (k + t - d)). The tier follows from the notional at that price, so the price is iterated.
    """
    notional = quantity_base * entry_usdt
    tier = tier_of(notional, tiers, tier_count)
    price = 0.0
    for _ in range(TIER_STEPS_MAX):
        row = tiers[tier]
        margin = notional / rules.leverage + row.offset_usdt
        price = (margin - notional * side) / (quantity_base * (row.maintenance_fraction + rules.taker_fee - side))
        following = tier_of(quantity_base * price, tiers, tier_count)
        if following == tier:
            break
        tier = following
    return price


def tier_of(notional_usdt: float, tiers: Tiers, tier_count: int) -> int:
    """Return the highest tier whose start the notional reaches."""
    tier = 0
    while tier + 1 < tier_count and notional_usdt >= tiers[tier + 1].start_usdt:
        tier += 1
    return tier
