"""The fourth pass: each set of parameters traded over the prepared market, by the kernel's own functions.

While an account is flat and has no order, nothing can happen before the next close that was found, so the pass goes
there at once. While it holds a position, it passes over candles that touch none of its prices; every other candle goes
through `decide`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from papertape.engine.kernel.codes import ENTRY, LIMIT_ORDER, MARKET_ORDER, NO_ORDER, NO_REASON, ON_TIME
from papertape.engine.kernel.decide import mark_to_market
from papertape.engine.kernel.fast_forward import load_fact
from papertape.engine.kernel.kill_switch import reached_loss_limit
from papertape.engine.kernel.margin import open_profit
from papertape.engine.kernel.matching import touches_nothing
from papertape.engine.kernel.sets.figures import (
    begin_figures,
    close_days,
    deepen,
    end_figures,
    take_decisions,
    take_equity,
)
from papertape.engine.kernel.state import SETTLEMENTS_MASK
from papertape.engine.kernel.strategy import copy_record
from papertape.engine.kernel.trailing import widen_extremes
from papertape.engine.kernel.view import MarketData
from papertape.events.units import DAY_MS

PART = 4_096
"""Candles that all sets trade before the next ones."""

if TYPE_CHECKING:
    from collections.abc import Callable

    from papertape.engine.kernel.sets.figures import Figures
    from papertape.engine.kernel.sets.tables import CandleTable
    from papertape.engine.kernel.state import (
        Account,
        AccountRules,
        Desks,
        FactColumns,
        Market,
        Position,
        Series,
        Settlements,
        SymbolState,
    )


def make_decide_row(decide: Callable[..., int]) -> Callable[..., int]:
    """Make `decide` on a candle whose market and series stand in a row; it returns the number of decisions."""

    def decide_row(
        views: Any,
        market: Any,
        settlements: Any,
        readings: Any,
        signals: Any,
        fact: Any,
        desks: Any,
        state: Any,
        params: Any,
        needs: Any,
        account: Any,
        rules: Any,
        contracts: Any,
        tiers: Any,
        answer: Any,
        out: Any,
        notes: Any,
    ) -> int:
        data = MarketData(market, views, settlements, readings, signals, ())
        return decide(fact, data, desks, state, params, needs, account, rules, contracts, tiers, answer, out, notes, 0)

    return decide_row


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
) -> int:
    """Pass over candles on which nothing happens to a position without orders; return the first that is left.

    `watched` says that a hook looks at the extremes of the position.
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
        i = _value(candles, first, i, gain, loss, desk, desks, account, rules, figures)
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
    return _value_each(candles, first, i, desk, desks, account, rules, figures)


def _equity_at(close: float, position: Position, account: Account) -> float:
    """Return the equity of an account with one position at a close, added up as `equity` does."""
    return account.cash_usdt + (0.0 + open_profit(position, close))


def _value_each(
    candles: FactColumns,
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
        take_equity(figures, account.equity_usdt, candles.time_ms[i - 1], candles.time_ms[i])
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


def fill_idle(table: CandleTable, i: int, candle: Series, market: Market) -> None:
    """Fill in what the row of a candle between closes says of it."""
    candle.turbulent_at_open = table.turbulent[i]
    market.booked = table.booked[i]
    market.due = table.due[i]


def post_due(table: CandleTable, i: int, due: Settlements, settlements: Settlements) -> None:
    """Put the settlements that are due at a candle into the ring where the kernel looks for them."""
    for s in range(table.booked[i], table.due[i]):
        copy_record(due[s], settlements[s & SETTLEMENTS_MASK])


def count_asks(asks: int, desk: SymbolState) -> None:
    """Count closes of the strategy's timeframe that were passed over into those since the last exit."""
    if desk.candles_since_exit >= 0:
        desk.candles_since_exit += asks


def make_trade_set(decide_row: Callable[..., int], *, skip_asks: bool, watched: bool) -> Callable[..., None]:
    """Make the trading of one set from where its figures are up to the candle `end` - 1.

    `first` is the first candle of the span, and `decide_row` is bound by `with_rows`.
    `found` has `count` closes at which the set may enter. `skip_asks` says that the strategy has no `manage` and that
    its `leave` was asked beforehand: `longs` and `shorts` then have the first close from each on at which it may speak.
    `watched` says that a hook looks at the extremes of a position.
    """

    def trade_set(
        tables: Any,
        idle: int,
        first: int,
        end: int,
        bars: Any,
        rings: Any,
        found: Any,
        count: int,
        longs: Any,
        shorts: Any,
        fact: Any,
        states: Any,
        params: Any,
        needs: Any,
        desks: Any,
        account: Any,
        exchange: Any,
        figures: Any,
        days: Any,
    ) -> None:
        candles, table, asks, rows, due = tables
        all_rules, contracts, tiers, answers, out, notes = exchange
        desk, rules, answer, c, i = desks[0], all_rules[0], answers[0], figures.entry, figures.candle
        order, position = desk.order, desk.position
        while 0 <= i < end:
            a = table.ask[i]
            if position.side == 0 and order.action == NO_ORDER:
                while c < count and found[c] < a:
                    c += 1
                if account.tripped != 0 or c == count:
                    i = len(candles.kind)
                    break
                i = asks.candle[found[c]]
            elif position.side == 0:
                i = rest(candles, i, end, desk, account)
            elif order.action == NO_ORDER:
                b = (longs[a] if position.side > 0 else shorts[a]) if skip_asks else a
                i = hold(candles, table, i, min(asks.candle[b], end), desk, desks, account, rules, figures, watched)
            b = table.ask[i]
            count_asks(b - a, desk)
            if not 0 <= i < end:
                break
            r = asks.row[b]
            if asks.candle[b] != i:
                r = idle
                fill_idle(table, i, rows.series[0][r], rows.markets[r])
            post_due(table, i, due, rings[0])
            load_fact(fact, candles, i)
            close_days(figures, fact.open_time_ms, days)
            seen = rows.markets[r], *rings, rows.signals[r]
            own = states[r], params, needs
            traded = account, rules, contracts, tiers, answer, out, notes
            n = decide_row(rows.series, bars, r, *seen, fact, desks, *own, *traded)
            take_decisions(figures, out, n)
            before_ms = candles.time_ms[i - 1] if i > first else fact.open_time_ms
            take_equity(figures, account.equity_usdt, before_ms, fact.time_ms)
            i += 1
        figures.entry, figures.candle = c, i

    return trade_set


def make_trade_sets(trade_set: Callable[..., None]) -> Callable[..., int]:
    """Make the pass over the sets `members`, each with an account of its own; it returns how many there were.

    Member `m` may enter at the closes of group `entries[m]` and leave at those of `exits[m]`. All sets trade a part of
    the span before the next part, so that its prices and rows stay in the processor's cache.
    """

    def trade_sets(
        tables: Any,
        idle: int,
        first: int,
        end: int,
        bars: Any,
        settlements: Any,
        readings: Any,
        found: Any,
        counts: Any,
        longs: Any,
        shorts: Any,
        entries: Any,
        exits: Any,
        members: Any,
        scratch: Any,
        states: Any,
        params: Any,
        needs: Any,
        desks: Any,
        accounts: Any,
        exchange: Any,
        figures: Any,
        days: Any,
    ) -> int:
        rings, opens_ms, until_ms = (settlements[0], readings[0]), tables.candles.open_time_ms, tables.candles.time_ms
        for m in range(len(members)):
            begin_figures(figures[m], accounts[m][0].cash_usdt, first, opens_ms[first] // DAY_MS * DAY_MS + DAY_MS)
        for start in range(first, end, PART):
            until = min(start + PART, end)
            for m in range(len(members)):
                j, g, e = members[m], entries[m], exits[m]
                if figures[m].candle < until:
                    answers, known = (found[g], counts[g], longs[e], shorts[e]), (states, params[j], needs[j])
                    held = desks[m], accounts[m][0], exchange, figures[m], days[m]
                    trade_set(tables, idle, first, until, bars, rings, *answers, scratch[0], *known, *held)
        for m in range(len(members)):
            close_days(figures[m], opens_ms[end - 1], days[m])
            end_figures(figures[m], accounts[m][0], desks[m][0], until_ms[end - 1], days[m])
        return len(members)

    return trade_sets
