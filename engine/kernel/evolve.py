"""`evolve`: the only place where an order, a position or an account's cash changes.

It applies a decision with the numbers that the decision carries, so a recorded decision keeps its meaning after a rule
or a strategy has changed. What follows from the candles alone, such as a trailing stop, is in
`engine.kernel.trailing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.engine.kernel.answers import RUNGS_MAX, rung_at
from papertape.engine.kernel.codes import (
    ADD,
    ENTRY,
    FUNDING_PAID,
    KILL_SWITCH_TRIPPED,
    NO_ORDER,
    ORDER_CANCELLED,
    ORDER_PLACED,
    POSITION_CLOSED,
    POSITION_INCREASED,
    POSITION_OPENED,
    POSITION_REDUCED,
    REDUCE,
    REDUCED,
    STOP,
    STOP_MOVED,
    TARGET_ORDER,
    TARGETS_MOVED,
)

if TYPE_CHECKING:
    from papertape.engine.kernel.answers import Ladder
    from papertape.engine.kernel.decision import Decision
    from papertape.engine.kernel.state import Account, Order, Position, SymbolState


def evolve(desk: SymbolState, account: Account, decision: Decision) -> None:
    """Apply one decision.

    Read the decision, and the plan of the entry that it fills. Change the orders, the position and the last entry and
    exit of the symbol it is about, and the account's cash, number of positions and trip. Nothing is judged here:
    whatever was decided is applied.
    """
    kind = decision.kind
    if kind == ORDER_PLACED:
        _place(desk, account, decision)
    elif kind == ORDER_CANCELLED:
        _cancel(desk, account, decision)
    elif kind == POSITION_OPENED:
        _open(desk, account, decision)
    elif kind == POSITION_INCREASED:
        _increase(desk.position, account, decision)
    elif kind == POSITION_REDUCED:
        _reduce(desk.position, account, decision)
    elif kind == POSITION_CLOSED:
        _close(desk, account, decision)
    elif kind == FUNDING_PAID:
        account.cash_usdt += decision.amount_usdt
        desk.position.funding_usdt += decision.amount_usdt
    elif kind == STOP_MOVED:
        _move_stop(desk.position, decision)
    elif kind == TARGETS_MOVED:
        position = desk.position
        _set_targets(position.targets, decision.targets)
        position.targets_left = 1.0
        position.target_price_usdt = nearest_target(position)
    elif kind == KILL_SWITCH_TRIPPED:
        account.tripped = decision.reason


# ---------------------------------------------------------------- orders


def _place(desk: SymbolState, account: Account, decision: Decision) -> None:
    if decision.action == ADD:
        _place_add(desk.position.adds, decision)
        desk.position.adds_due = 0
    elif decision.action == REDUCE:
        desk.position.reduce_fraction = decision.reduce_fraction
    else:
        _place_order(desk.order, decision)
        if decision.action == ENTRY:
            desk.entry_placed_ms = decision.at_ms
            account.free_slots -= 1


def _place_order(order: Order, decision: Decision) -> None:
    """Place an entry with its plan, or an exit, which has none."""
    order.action = decision.action
    order.kind = decision.order_kind
    order.side = decision.side
    order.reason = decision.reason
    order.placed_at_ms = decision.at_ms
    order.expires_ms = decision.expires_at_ms
    order.quantity_base = decision.quantity_base
    order.price_usdt = decision.price_usdt
    order.planned_price_usdt = decision.planned_price_usdt
    order.stop_fraction = decision.stop_fraction
    order.stop_price_usdt = decision.stop_price_usdt
    order.risk_usdt = decision.risk_usdt
    order.trail_fraction = decision.trail_fraction
    order.trail_after_fraction = decision.trail_after_fraction
    order.breakeven_after_fraction = decision.breakeven_after_fraction
    _set_targets(order.targets, decision.targets)
    _set_adds(order.adds, decision.adds)
    if decision.targets.count == 0 and decision.target_fraction != 0.0:
        order.targets.count = 1
        only = order.targets.first
        only.live = 1
        only.price_usdt = 0.0
        only.fraction = decision.target_fraction
        only.size = 1.0


def _place_add(adds: Ladder, decision: Decision) -> None:
    """Place one add of a ladder; the first of a new ladder starts it."""
    rung = rung_at(adds, decision.rung - 1)
    adds.count = decision.rung
    rung.live = 1
    rung.kind = decision.order_kind
    rung.price_usdt = decision.price_usdt
    rung.size = decision.units
    rung.expires_candles = decision.expires_candles
    rung.expires_ms = decision.expires_at_ms


def _cancel(desk: SymbolState, account: Account, decision: Decision) -> None:
    if decision.action == ADD:
        rung_at(desk.position.adds, decision.rung - 1).live = 0
    elif decision.action == REDUCE:
        desk.position.reduce_fraction = 0.0
    elif decision.action == TARGET_ORDER:
        rung_at(desk.position.targets, decision.rung - 1).live = 0
        desk.position.target_price_usdt = nearest_target(desk.position)
    else:
        desk.order.action = NO_ORDER
        if decision.action == ENTRY:
            account.free_slots += 1


def _set_targets(targets: Ladder, planned: Ladder) -> None:
    """Set resting targets from a decision."""
    targets.count = planned.count
    for k in range(min(planned.count, RUNGS_MAX)):
        rung, source = rung_at(targets, k), rung_at(planned, k)
        rung.live = 1
        rung.price_usdt = source.price_usdt
        rung.fraction = source.fraction
        rung.size = source.size


def _set_adds(adds: Ladder, planned: Ladder) -> None:
    """Set the adds of a plan; none of them rests before it is placed."""
    adds.count = planned.count
    for k in range(min(planned.count, RUNGS_MAX)):
        rung, source = rung_at(adds, k), rung_at(planned, k)
        rung.live = 0
        rung.kind = source.kind
        rung.price_usdt = source.price_usdt
        rung.size = source.size
        rung.expires_candles = source.expires_candles


def nearest_target(position: Position) -> float:
    """Return the price of the nearest resting target, 0 if there is none; each is farther than the one before."""
    for k in range(position.targets.count):
        rung = rung_at(position.targets, k)
        if rung.live == 1:
            return rung.price_usdt
    return 0.0


# ---------------------------------------------------------------- positions


def _open(desk: SymbolState, account: Account, decision: Decision) -> None:
    position, order = desk.position, desk.order
    position.side = decision.side
    position.entry_time_ms = decision.at_ms
    position.candle_open_ms = decision.candle_open_ms
    position.stop_reason = STOP
    position.age_candles = 0
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
    position.first_base = decision.quantity_base
    position.max_base = decision.quantity_base
    position.units = 1.0
    position.opened_base = decision.quantity_base
    position.opened_usdt = decision.quantity_base * decision.price_usdt
    position.best_usdt = decision.price_usdt
    position.worst_usdt = decision.price_usdt
    position.targets_left = 1.0
    position.reduce_fraction = 0.0
    position.trail_fraction = order.trail_fraction
    position.trail_after_fraction = order.trail_after_fraction
    position.breakeven_after_fraction = order.breakeven_after_fraction
    _reset_closed(position)
    _set_targets(position.targets, decision.targets)
    _set_adds(position.adds, order.adds)
    position.adds_due = 1 if order.adds.count > 0 else 0
    order.action = NO_ORDER
    account.positions += 1
    account.cash_usdt -= decision.fee_usdt


def _reset_closed(position: Position) -> None:
    """Start a trade of which nothing is closed yet."""
    closed = position.closed
    closed.parts = 0
    closed.ambiguous = 0
    closed.quantity_base = 0.0
    closed.turnover_usdt = 0.0
    closed.gross_usdt = 0.0
    closed.fees_usdt = 0.0
    closed.funding_usdt = 0.0
    closed.slippage_usdt = 0.0


def _increase(position: Position, account: Account, decision: Decision) -> None:
    """Enlarge the position by a filled add."""
    position.quantity_base = decision.position_base
    position.entry_price_usdt = decision.entry_price_usdt
    position.liquidation_price_usdt = decision.liquidation_price_usdt
    position.margin_usdt = decision.margin_usdt
    position.fee_usdt += decision.fee_usdt
    position.slippage_usdt += decision.slippage_usdt
    position.risk_usdt += decision.risk_usdt
    position.max_base = max(position.max_base, decision.position_base)
    position.units += decision.units
    position.opened_base += decision.quantity_base
    position.opened_usdt += decision.quantity_base * decision.price_usdt
    position.closed.ambiguous = max(position.closed.ambiguous, decision.ambiguous)
    rung_at(position.adds, decision.rung - 1).live = 0
    account.cash_usdt -= decision.fee_usdt


def _reduce(position: Position, account: Account, decision: Decision) -> None:
    """Close a part: its share of fees, funding and slippage goes with it."""
    closed = position.closed
    position.quantity_base = decision.position_base
    position.liquidation_price_usdt = decision.liquidation_price_usdt
    position.margin_usdt = decision.margin_usdt
    position.fee_usdt -= decision.fees_usdt - decision.fee_usdt
    position.funding_usdt -= decision.funding_usdt
    position.slippage_usdt -= decision.slippage_usdt - slippage_cost(
        decision.quantity_base, decision.price_usdt, decision.reference_price_usdt
    )
    closed.parts += 1
    closed.ambiguous = max(closed.ambiguous, decision.ambiguous)
    closed.quantity_base += decision.quantity_base
    closed.turnover_usdt += decision.quantity_base * decision.price_usdt
    closed.gross_usdt += decision.gross_usdt
    closed.fees_usdt += decision.fees_usdt
    closed.funding_usdt += decision.funding_usdt
    closed.slippage_usdt += decision.slippage_usdt
    if decision.reason == REDUCED:
        position.reduce_fraction = 0.0
    else:
        rung = rung_at(position.targets, decision.rung - 1)
        rung.live = 0
        position.targets_left -= rung.size
        position.target_price_usdt = nearest_target(position)
    account.cash_usdt += decision.gross_usdt
    account.cash_usdt -= decision.fee_usdt


def _close(desk: SymbolState, account: Account, decision: Decision) -> None:
    """Close the position, which also withdraws a pending exit."""
    _clear_position(desk.position)
    desk.order.action = NO_ORDER
    if decision.reason == REDUCED:
        desk.position.reduce_fraction = 0.0
    desk.exited_ms = decision.at_ms
    desk.candles_since_exit = 0
    desk.last_exit_reason = decision.reason
    account.positions -= 1
    account.free_slots += 1
    account.cash_usdt += decision.part_gross_usdt
    account.cash_usdt -= decision.fee_usdt


def _clear_position(position: Position) -> None:
    """Leave no number of a closed position that a strategy could mistake for one of the next.

    Its adds and its reduction end by decisions of their own.
    """
    position.side = 0
    position.entry_time_ms = 0
    position.candle_open_ms = 0
    position.stop_reason = 0
    position.age_candles = 0
    position.quantity_base = 0.0
    position.entry_price_usdt = 0.0
    position.stop_price_usdt = 0.0
    position.target_price_usdt = 0.0
    position.liquidation_price_usdt = 0.0
    position.margin_usdt = 0.0
    position.fee_usdt = 0.0
    position.slippage_usdt = 0.0
    position.funding_usdt = 0.0
    position.risk_usdt = 0.0
    position.first_base = 0.0
    position.max_base = 0.0
    position.units = 0.0
    position.opened_base = 0.0
    position.opened_usdt = 0.0
    position.best_usdt = 0.0
    position.worst_usdt = 0.0
    position.profit_usdt = 0.0
    position.result_r = 0.0
    position.targets.count = 0


def _move_stop(position: Position, decision: Decision) -> None:
    """Move the stop, which ends the reason of a trailing or break-even stop, and set the numbers of both."""
    if decision.stop_price_usdt != position.stop_price_usdt:
        position.stop_price_usdt = decision.stop_price_usdt
        position.stop_reason = STOP
    position.trail_fraction = decision.trail_fraction
    position.trail_after_fraction = decision.trail_after_fraction
    position.breakeven_after_fraction = decision.breakeven_after_fraction


def slippage_cost(quantity_base: float, price_usdt: float, reference_usdt: float) -> float:
    """Return the cost of slippage in USDT; it is part of the fill price and serves reports only."""
    return quantity_base * abs(price_usdt - reference_usdt)


def reset_account(account: Account) -> None:
    """End a trip: session and day start over from the current equity."""
    account.tripped = 0
    account.session_base_usdt = account.equity_usdt
    account.day_base_usdt = account.equity_usdt
