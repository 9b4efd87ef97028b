"""The fourth pass: each set of parameters traded over the prepared market, by the kernel's own functions.

While an account is flat and has no order, nothing can happen before the next close that was found, so the pass goes
there at once. While it holds a position, it passes over candles that touch none of its prices; every other candle goes
through `decide`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from papertape.engine.kernel.codes import NO_ORDER
from papertape.engine.kernel.fast_forward import load_fact
from papertape.engine.kernel.sets.figures import begin_figures, close_days, end_figures, take_decisions, take_equity
from papertape.engine.kernel.sets.quiet import hold, rest
from papertape.engine.kernel.state import SETTLEMENTS_MASK
from papertape.engine.kernel.strategy import copy_record
from papertape.engine.kernel.view import MarketData
from papertape.events.units import DAY_MS

PART = 4_096
"""Candles that all sets trade before the next ones."""

if TYPE_CHECKING:
    from collections.abc import Callable

    from papertape.engine.kernel.sets.tables import CandleTable
    from papertape.engine.kernel.state import Market, Series, Settlements, SymbolState


def make_decide_row(decide: Callable[..., int]) -> Callable[..., int]:
    """Make `decide` on a candle whose market and series stand in a row; it returns the number of decisions."""

    def decide_row(
        views: Any,
        others: Any,
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
        data = MarketData(market, views, settlements, readings, signals, others)
        return decide(fact, data, desks, state, params, needs, account, rules, contracts, tiers, answer, out, notes, 0)

    return decide_row


def fill_idle(table: CandleTable, i: int, candle: Series, market: Market) -> None:
    """Fill in what the row of a candle between closes says of it."""
    candle.turbulent_at_open = table.turbulent[i]
    market.booked = table.booked[i]
    market.due = table.due[i]


def post_due(table: CandleTable, i: int, due: Settlements, begin: int, settlements: Settlements) -> None:
    """Put the settlements that are due at a candle into the ring where the kernel looks for them.

    Those of its symbol begin in `due` with the number `begin`.
    """
    for s in range(table.booked[i], table.due[i]):
        copy_record(due[begin + s], settlements[s & SETTLEMENTS_MASK])


def count_asks(asks: int, desk: SymbolState) -> None:
    """Count closes of the strategy's timeframe that were passed over into those since the last exit."""
    if desk.candles_since_exit >= 0:
        desk.candles_since_exit += asks


def make_trade_one(decide_row: Callable[..., int]) -> Callable[..., None]:
    """Make the trading of the candle `i` by one set; `b` closes came before it. `decide_row` is bound by `with_rows`.

    `idle` is the row of the candles between closes of its symbol, `begin` the number of the symbol's first settlement,
    and `before_ms` the close of the candle before.
    """

    def trade_one(
        tables: Any,
        i: int,
        b: int,
        idle: int,
        begin: int,
        before_ms: int,
        bars: Any,
        rings: Any,
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
        r = asks.row[b]
        if asks.candle[b] != i:
            r = idle
            fill_idle(table, i, rows.series[0][r], rows.markets[r])
        post_due(table, i, due, begin, rings[0])
        load_fact(fact, candles, i)
        close_days(figures, fact.open_time_ms, days)
        seen = rows.markets[r], *rings, rows.signals[r]
        own = states[r], params, needs
        traded = account, all_rules[0], contracts, tiers, answers[0], out, notes
        n = decide_row(rows, bars, r, *seen, fact, desks, *own, *traded)
        take_decisions(figures, out, n)
        take_equity(figures, account.equity_usdt, before_ms, fact.time_ms)

    return trade_one


def make_trade_set(trade_one: Callable[..., None], *, skip_asks: bool, watched: bool) -> Callable[..., None]:
    """Make the trading of one set over one symbol from where its figures are up to the candle `end` - 1.

    `first` is the first candle of the span.
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
        candles, table, asks, _, _ = tables
        desk, rules, c, i = desks[0], exchange.rules[0], figures.entry, figures.candle
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
                until = min(asks.candle[b], end)
                i = hold(candles, table, i, until, desk, desks, account, rules, figures, watched, True)
            b = table.ask[i]
            count_asks(b - a, desk)
            if not 0 <= i < end:
                break
            before_ms = table.before_ms[i] if i > first else candles.open_time_ms[i]
            own = fact, states, params, needs, desks, account, exchange, figures, days
            trade_one(tables, i, b, idle, 0, before_ms, bars, rings, *own)
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
            end_figures(figures[m], accounts[m][0], desks[m], until_ms[end - 1], days[m])
        return len(members)

    return trade_sets
