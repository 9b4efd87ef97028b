"""`evolve`: the only place where an order, a position or an account's cash changes.

It applies a decision with the numbers the decision carries, so a recorded decision means the same for ever,
also after a rule or a strategy was changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.engine.kernel.codes import (
    ENTRY,
    FUNDING_PAID,
    KILL_SWITCH_TRIPPED,
    NO_ORDER,
    ORDER_CANCELLED,
    ORDER_PLACED,
    POSITION_CLOSED,
    POSITION_OPENED,
)

if TYPE_CHECKING:
    from papertape.engine.kernel.state import Account, Decision, SymbolState


def evolve(desk: SymbolState, account: Account, decision: Decision) -> None:
    """Apply one decision to the desk it is about and to the account."""
    kind = decision.kind
    if kind == ORDER_PLACED:
        _place(desk, decision)
    elif kind == ORDER_CANCELLED:
        desk.order.action = NO_ORDER
    elif kind == POSITION_OPENED:
        _open(desk, account, decision)
    elif kind == POSITION_CLOSED:
        _close(desk, account, decision)
    elif kind == FUNDING_PAID:
        account.cash_usdt += decision.amount_usdt
        desk.position.funding_usdt += decision.amount_usdt
    elif kind == KILL_SWITCH_TRIPPED:
        account.tripped = decision.reason


def _place(desk: SymbolState, decision: Decision) -> None:
    """An order waits for the next open."""
    order = desk.order
    order.action = decision.action
    order.side = decision.side
    order.reason = decision.reason
    order.placed_at_ms = decision.at_ms
    order.quantity_base = decision.quantity_base
    order.planned_price_usdt = decision.planned_price_usdt
    order.stop_fraction = decision.stop_fraction
    order.target_fraction = decision.target_fraction
    order.risk_usdt = decision.risk_usdt
    if decision.action == ENTRY:
        desk.entry_placed_ms = decision.at_ms


def _open(desk: SymbolState, account: Account, decision: Decision) -> None:
    """The entry is filled and its fee debited."""
    position = desk.position
    position.side = decision.side
    position.entry_time_ms = decision.at_ms
    position.quantity_base = decision.quantity_base
    position.entry_price_usdt = decision.price_usdt
    position.stop_price_usdt = decision.stop_price_usdt
    position.target_price_usdt = decision.target_price_usdt
    position.liquidation_price_usdt = decision.liquidation_price_usdt
    position.margin_usdt = decision.margin_usdt
    position.fee_usdt = decision.fee_usdt
    position.slippage_usdt = decision.slippage_usdt
    position.funding_usdt = 0.0
    position.risk_usdt = decision.risk_usdt
    desk.order.action = NO_ORDER
    account.positions += 1
    account.cash_usdt -= decision.fee_usdt


def _close(desk: SymbolState, account: Account, decision: Decision) -> None:
    """The position is gone, and with it a pending exit."""
    desk.position.side = 0
    desk.order.action = NO_ORDER
    account.positions -= 1
    account.cash_usdt += decision.gross_usdt
    account.cash_usdt -= decision.fee_usdt


def reset_account(account: Account) -> None:
    """A human ended the trip: session and day start again from the equity as it stands."""
    account.tripped = 0
    account.session_base_usdt = account.equity_usdt
    account.day_base_usdt = account.equity_usdt
