"""The fourth pass over several symbols, which share one account: their candles take turns as they came.

A symbol's next candle is the next close that was found while it is flat and has no order, else the one after its last.
Whatever lies between touches neither the symbol nor the account.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from papertape.engine.kernel.codes import NO_ORDER
from papertape.engine.kernel.sets.figures import begin_figures, close_days, end_figures
from papertape.engine.kernel.sets.quiet import hold, rest
from papertape.engine.kernel.sets.trade import PART, count_asks
from papertape.events.units import DAY_MS

if TYPE_CHECKING:
    from collections.abc import Callable

    from papertape.engine.kernel.sets.tables import Asks, CandleTable, SymbolTurn
    from papertape.engine.kernel.state import Account, SymbolState

NO_TURN = 1 << 62
"""The order of a candle that does not come."""


def find_turn(
    cursor: SymbolTurn, desk: SymbolState, account: Account, table: CandleTable, asks: Asks, found: Any, count: int
) -> int:
    """Return the next candle at which something may happen to a symbol, -1 if there is none in the span.

    `found` has `count` closes at which the set may enter.
    """
    i = cursor.candle
    if i >= cursor.end:
        return -1
    if desk.position.side == 0 and desk.order.action == NO_ORDER:
        a, c = table.ask[i], cursor.entry
        while c < count and found[c] < a:
            c += 1
        cursor.entry = c
        if account.tripped != 0 or c == count:
            return -1
        i = asks.candle[found[c]]
    return i if i < cursor.end else -1


def first_not_below(column: Any, first: int, end: int, value: int) -> int:
    """Return the first place from `first` on of a rising column whose number is at least `value`, or `end`."""
    while first < end:
        middle = (first + end) // 2
        if column[middle] < value:
            first = middle + 1
        else:
            end = middle
    return first


def make_trade_together(trade_one: Callable[..., None], *, skip_asks: bool, watched: bool) -> Callable[..., None]:
    """Make the trading of one set over several symbols up to the candle whose order is `until`.

    `first` is the order of the first candle of the span. For the rest see `make_trade_set`.
    """

    def trade_together(
        tables: Any,
        cursors: Any,
        first: int,
        until: int,
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
        rules, order = exchange.rules[0], table.order
        while True:
            s, i, turn, following = -1, 0, NO_TURN, NO_TURN
            for k in range(len(desks)):
                j = find_turn(cursors[k], desks[k], account, table, asks, found, count)
                if j >= 0 and order[j] < turn:
                    s, i, turn, following = k, j, order[j], turn
                elif j >= 0:
                    following = min(following, order[j])
            if turn >= until:
                return
            cursor, desk = cursors[s], desks[s]
            position, at = desk.position, i
            a = table.ask[cursor.candle]
            if desk.order.action == NO_ORDER and position.side != 0:
                b = (longs[a] if position.side > 0 else shorts[a]) if skip_asks else a
                end = min(asks.candle[b], cursor.end)
                if end > i and order[end - 1] > following:
                    end = first_not_below(order, i, end, following)
                alone = account.positions == 1
                at = hold(candles, table, i, end, desk, desks, account, rules, figures, watched, alone)
            elif desk.order.action != NO_ORDER and position.side == 0:
                at = rest(candles, i, cursor.end, desk, account)
            b = table.ask[at]
            count_asks(b - a, desk)
            cursor.candle = at
            if at == i:
                before_ms = table.before_ms[i] if turn > first else candles.open_time_ms[i]
                own = fact, states, params, needs, desks, account, exchange, figures, days
                trade_one(tables, i, b, cursor.idle, cursor.due, before_ms, bars, rings, *own)
                cursor.candle = i + 1

    return trade_together


def make_trade_all(trade_together: Callable[..., None]) -> Callable[..., int]:
    """Make the pass over the sets `members` for several symbols; see `make_trade_sets`.

    `cursors` stand at the begin of the span, which goes from the candle at place `begin` to the one at `last`.
    """

    def trade_all(
        tables: Any,
        cursors: Any,
        begin: int,
        last: int,
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
        rings, opens_ms, order = (settlements[0], readings[0]), tables.candles.open_time_ms, tables.table.order
        first, end = order[begin], order[last] + 1
        for m in range(len(members)):
            begin_figures(figures[m], accounts[m][0].cash_usdt, begin, opens_ms[begin] // DAY_MS * DAY_MS + DAY_MS)
            for k in range(len(cursors[m])):
                a = tables.table.ask[cursors[m][k].candle]
                cursors[m][k].entry = first_not_below(found[entries[m]], 0, counts[entries[m]], a)
        for start in range(first, end, PART):
            until = min(start + PART, end)
            for m in range(len(members)):
                j, g, e = members[m], entries[m], exits[m]
                answers, known = (found[g], counts[g], longs[e], shorts[e]), (states, params[j], needs[j])
                held = desks[m], accounts[m][0], exchange, figures[m], days[m]
                trade_together(tables, cursors[m], first, until, bars, rings, *answers, scratch[0], *known, *held)
        for m in range(len(members)):
            close_days(figures[m], opens_ms[last], days[m])
            end_figures(figures[m], accounts[m][0], desks[m], tables.candles.time_ms[last], days[m])
        return len(members)

    return trade_all
