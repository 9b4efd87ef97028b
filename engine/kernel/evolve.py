"""`evolve`: the only place where an order, a position or an account's cash changes.

It applies a decision with the numbers that the decision carries, so a recorded decision keeps its meaning after a rule
or a strategy has changed.
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
    from papertape.engine.kernel.decision import Decision
    from papertape.engine.kernel.state import Account, SymbolState


def evolve(desk: SymbolState, account: Account, decision: Decision) -> None:
    """Apply one decision.

    Read the decision alone. Change the order, the position and `entry_placed_ms` of the symbol it is about, and the
    account's cash, number of positions and trip. Nothing is judged here: whatever was decided is applied.
    """
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
    """Close the position, which also withdraws a pending exit."""
    desk.position.side = 0
    desk.order.action = NO_ORDER
    account.positions -= 1
    account.cash_usdt += decision.gross_usdt
    account.cash_usdt -= decision.fee_usdt


def reset_account(account: Account) -> None:
    """End a trip: session and day start over from the current equity."""
    account.tripped = 0
    account.session_base_usdt = account.equity_usdt
    account.day_base_usdt = account.equity_usdt
