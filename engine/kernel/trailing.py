"""What a position does by itself after every candle: its age, its extremes, and the stops that follow them.

No event is written for it: it is a function of fills and candles, so a log that is replayed comes to the same stop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.engine.kernel.codes import (
    BREAKEVEN_STOP,
    EXPIRED,
    LIMIT_ORDER,
    LONG,
    ORDER_CANCELLED,
    ORDER_PLACED,
    ORDER_REJECTED,
    REPLACED,
    STOP_MOVED,
    STOP_ORDER,
    STRATEGY_FAILED,
    TARGETS_MOVED,
    TRAILING_STOP,
)
from papertape.engine.kernel.fills import slippage_now
from papertape.engine.kernel.margin import profit
from papertape.engine.kernel.rounding import price_down, price_up

if TYPE_CHECKING:
    from papertape.engine.kernel.state import AccountRules, Contract, Fact, Position, Series, SymbolState


def comes_after_fills(kind: int, reason: int) -> bool:
    """Return whether a decision of this kind and reason comes after the fills of its candle, and so after trailing."""
    if kind == ORDER_CANCELLED:
        return reason in (EXPIRED, REPLACED, STRATEGY_FAILED)
    return kind in (ORDER_PLACED, ORDER_REJECTED, STOP_MOVED, TARGETS_MOVED)


def follow_symbol(fact: Fact, main: Series, desk: SymbolState, rules: AccountRules, contract: Contract) -> None:
    """Take a candle, after its fills, into the time since the last exit and the age and extremes of a position."""
    if main.completed == 1 and desk.candles_since_exit >= 0 and fact.time_ms > desk.exited_ms:
        desk.candles_since_exit += 1
    if desk.position.side != 0:
        follow_position(fact, main, desk, rules, contract)


def follow_position(fact: Fact, main: Series, desk: SymbolState, rules: AccountRules, contract: Contract) -> None:
    """Take a candle into the age and the extremes of an open position, value it, and trail its stop.

    It is valued when the strategy may be asked, at the closes of its own timeframe. The extremes begin with the entry's
    own candle. An order filled inside it knows only one side of it: a limit order saw no higher price before its fill,
    a stop order no lower one; the close counts for the other.
    """
    position = desk.position
    side, entry = position.side, position.entry_price_usdt
    best = fact.high if side > 0 else fact.low
    worst = fact.low if side > 0 else fact.high
    entered = position.candle_open_ms == fact.open_time_ms
    if position.entry_time_ms == fact.time_ms:
        if desk.order.kind == LIMIT_ORDER:
            best = max(entry, fact.close) if side > 0 else min(entry, fact.close)
        elif desk.order.kind == STOP_ORDER:
            worst = min(entry, fact.close) if side > 0 else max(entry, fact.close)
    if entered:
        position.best_usdt = best
        position.worst_usdt = worst
    else:
        widen_extremes(best, worst, position)
    if main.completed == 1 and fact.time_ms > position.entry_time_ms:
        position.age_candles += 1
    if main.completed == 1:
        value_position(fact.close, main.turbulent, position, rules)
    if position.trail_fraction > 0.0 or position.breakeven_after_fraction > 0.0:
        tighten_stop(fact.close, position, rules, contract)


def widen_extremes(best: float, worst: float, position: Position) -> None:
    """Take the extremes of a candle, as the position sees them, into those since its entry."""
    side = position.side
    if side * (best - position.best_usdt) > 0.0:
        position.best_usdt = best
    if side * (worst - position.worst_usdt) < 0.0:
        position.worst_usdt = worst


def value_position(close: float, turbulent: int, position: Position, rules: AccountRules) -> None:
    """Value a position at a close: leaving there after all costs, and the whole trade in multiples of its risk."""
    position.profit_usdt = profit_after_costs(position, close, slippage_now(rules, turbulent), rules)
    closed = position.closed
    fees, funding = closed.fees_usdt + position.fee_usdt, closed.funding_usdt + position.funding_usdt
    gross = closed.gross_usdt + profit(position.side, position.quantity_base, position.entry_price_usdt, close)
    position.result_r = (gross - fees + funding) / position.risk_usdt


def profit_after_costs(position: Position, close: float, slippage: float, rules: AccountRules) -> float:
    """Return the profit of leaving at this close after its costs, in USDT; the price is not rounded."""
    side, quantity = position.side, position.quantity_base
    price = close * (1.0 - side * slippage)
    gross = quantity * side * (price - position.entry_price_usdt)
    return gross - position.fee_usdt + position.funding_usdt - quantity * price * rules.taker_fee


def tighten_stop(close: float, position: Position, rules: AccountRules, contract: Contract) -> None:
    """Move a trailing or break-even stop as far as the best price and the close let it."""
    if position.trail_fraction > 0.0:
        _trail(position, contract)
    if position.breakeven_after_fraction > 0.0:
        _break_even(close, position, rules, contract)


def _has_gained(position: Position, fraction: float) -> bool:
    """Return whether the best price is a fraction beyond the average entry."""
    side, entry = position.side, position.entry_price_usdt
    return side * (position.best_usdt - entry * (1.0 + side * fraction)) >= 0.0


def _trail(position: Position, contract: Contract) -> None:
    """Move the stop to a fraction behind the best price, if that is tighter."""
    side = position.side
    if position.trail_after_fraction > 0.0 and not _has_gained(position, position.trail_after_fraction):
        return
    raw = position.best_usdt * (1.0 - side * position.trail_fraction)
    stop = price_down(raw, contract) if side == LONG else price_up(raw, contract)
    if side * (stop - position.stop_price_usdt) > 0.0:
        position.stop_price_usdt = stop
        position.stop_reason = TRAILING_STOP


def _break_even(close: float, position: Position, rules: AccountRules, contract: Contract) -> None:
    """Move the stop to where leaving costs nothing, E * (1 + 2 * (t + s)), if that is tighter and below the close."""
    side = position.side
    if not _has_gained(position, position.breakeven_after_fraction):
        return
    raw = position.entry_price_usdt * (1.0 + side * (2.0 * (rules.taker_fee + rules.slippage)))
    stop = price_up(raw, contract) if side == LONG else price_down(raw, contract)
    if side * (stop - position.stop_price_usdt) > 0.0 and side * (close - stop) > 0.0:
        position.stop_price_usdt = stop
        position.stop_reason = BREAKEVEN_STOP
