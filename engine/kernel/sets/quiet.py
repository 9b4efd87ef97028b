"""Candles on which nothing happens to what a set holds, or waits for: the fourth pass goes over them at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from papertape.engine.kernel.codes import ENTRY, LIMIT_ORDER, MARKET_ORDER, NO_REASON, ON_TIME
from papertape.engine.kernel.decide import mark_to_market
from papertape.engine.kernel.kill_switch import reached_loss_limit
from papertape.engine.kernel.margin import open_profit
from papertape.engine.kernel.matching import touches_nothing
from papertape.engine.kernel.sets.figures import deepen, take_equity
from papertape.engine.kernel.trailing import widen_extremes

if TYPE_CHECKING:
    from papertape.engine.kernel.sets.figures import Figures
    from papertape.engine.kernel.sets.tables import CandleTable
    from papertape.engine.kernel.state import Account, AccountRules, Desks, FactColumns, Position, SymbolState


def hold(
    candles: FactColumns,
    table: CandleTable,
    i: int,
    until: int,
    desk: SymbolState,
    desks: Desks,
    account: Account,
    rules: AccountRules,
    figures: Figures,
    watched: bool,
    alone: bool,
) -> int:
    """Pass over candles on which nothing happens to a position without orders; return the first that is left.

    `watched` says that a hook looks at the extremes of the position, `alone` that the account holds no other.
    No candle from `i` to `until` - 1 asks the strategy anything that it answers. A candle that touches a price of the
    position, begins a day, or has funding due is left to `decide`, and so is a position that does more than rest.
    """
    position, first = desk.position, i
    if position.adds.count > 0 or position.reduce_fraction != 0.0 or position.breakeven_after_fraction > 0.0:
        return i
    until = min(until, table.pause[i])
    if position.side > 0:
        i, least, most = first_touch(1, candles.open, candles.low, candles.high, candles.close, position, i, until)
        gain, loss = most, least
    else:
        i, least, most = first_touch(-1, candles.open, candles.high, candles.low, candles.close, position, i, until)
        gain, loss = least, most
    if i > first:
        if watched:
            _note_extremes(candles, first, i, position)
        if alone:
            return _value(candles, table, first, i, gain, loss, desk, desks, account, rules, figures)
        return _value_each(candles, table, first, i, desk, desks, account, rules, figures)
    return i


def first_touch(
    side: int, opens: Any, adverse: Any, favourable: Any, closes: Any, position: Position, i: int, until: int
) -> tuple[int, float, float]:
    """Return the first candle from `i` on that touches a price of the position, or moves its trailing stop.

    `side` is that of the position, `adverse` and `favourable` are the lows and highs, or the highs and lows. The least
    and the greatest close of the candles before it are returned too.
    """
    stop, target, liquidation = position.stop_price_usdt, position.target_price_usdt, position.liquidation_price_usdt
    if position.trail_fraction > 0.0 and (target == 0.0 or side * (target - position.best_usdt) > 0.0):
        target = position.best_usdt
    if side * (stop - liquidation) >= 0.0:
        liquidation = 0.0  # A candle that opens beyond it touches the stop as well.
    least, most = closes[i], closes[i]
    while 0 <= i < until and touches_nothing(side, stop, target, liquidation, opens[i], adverse[i], favourable[i]):
        close = closes[i]
        least = close if close < least else least
        most = close if close > most else most
        i += 1
    return i, least, most


def _note_extremes(candles: FactColumns, first: int, end: int, position: Position) -> None:
    """Take the extremes of candles into those of a position."""
    for k in range(first, end):
        if position.side > 0:
            widen_extremes(candles.high[k], candles.low[k], position)
        else:
            widen_extremes(candles.low[k], candles.high[k], position)


def _value(
    candles: FactColumns,
    table: CandleTable,
    first: int,
    i: int,
    gain: float,
    loss: float,
    desk: SymbolState,
    desks: Desks,
    account: Account,
    rules: AccountRules,
    figures: Figures,
) -> int:
    """Value the account at the closes of the candles `first` to `i` - 1, of which `gain` and `loss` are the extremes.

    Equity rises and falls with the close, so the extremes decide whether a limit was reached, and the drawdown. Only a
    new peak, and the begin of a drawdown, need every close. Return `i`, or the candle at which a limit is reached.
    """
    lowest = account.equity_usdt = _equity_at(loss, desk.position, account)
    if account.tripped != 0 or reached_loss_limit(account, rules) == NO_REASON:
        highest, last = _equity_at(gain, desk.position, account), i - 1
        if highest > account.peak_usdt:
            account.peak_usdt = highest
        if figures.under_ms >= 0 and highest < figures.curve_peak_usdt:
            deepen(figures, lowest)
            desk.mark_usdt = candles.close[last]
            desk.close_ms = candles.time_ms[last]
            account.equity_usdt = figures.end_equity_usdt = _equity_at(desk.mark_usdt, desk.position, account)
            return i
    return _value_each(candles, table, first, i, desk, desks, account, rules, figures)


def _equity_at(close: float, position: Position, account: Account) -> float:
    """Return the equity of an account with one position at a close, added up as `equity` does."""
    return account.cash_usdt + (0.0 + open_profit(position, close))


def _value_each(
    candles: FactColumns,
    table: CandleTable,
    first: int,
    end: int,
    desk: SymbolState,
    desks: Desks,
    account: Account,
    rules: AccountRules,
    figures: Figures,
) -> int:
    """Value the account at every close, as `decide` does, up to the one at which a limit is reached."""
    for i in range(first, end):
        desk.mark_usdt = candles.close[i]
        mark_to_market(account, desks)
        if account.tripped == 0 and reached_loss_limit(account, rules) != NO_REASON:
            return i
        desk.close_ms = candles.time_ms[i]
        take_equity(figures, account.equity_usdt, table.before_ms[i], candles.time_ms[i])
    return end


def rest(candles: FactColumns, i: int, until: int, desk: SymbolState, account: Account) -> int:
    """Pass over candles that neither fill nor end the resting entry of a flat account; return the first one left."""
    order = desk.order
    price, side = order.price_usdt, order.side
    if order.action != ENTRY or order.kind == MARKET_ORDER or account.tripped != 0:
        return i
    while 0 <= i < until:
        high, low = candles.high[i], candles.low[i]
        reached = (low if side > 0 else high) if order.kind == LIMIT_ORDER else (high if side > 0 else low)
        towards = -side if order.kind == LIMIT_ORDER else side
        if (
            towards * (reached - price) >= 0.0
            or candles.open_time_ms[i] != desk.close_ms
            or candles.open_time_ms[i] >= account.day_end_ms
            or candles.timing[i] != ON_TIME
            or 0 < order.expires_ms <= candles.time_ms[i]
        ):
            break
        desk.mark_usdt = candles.close[i]
        desk.close_ms = candles.time_ms[i]
        i += 1
    return i
