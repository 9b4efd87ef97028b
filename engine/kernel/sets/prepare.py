"""The first two passes: the market and its series once for all sets, and the strategy's state once for equal ones.

Neither depends on what is traded, so both call only what observes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from papertape.engine.kernel.codes import CANDLE, OPEN_INTEREST
from papertape.engine.kernel.fast_forward import fast_forward, load_fact
from papertape.engine.kernel.observe import note_reading, observe
from papertape.engine.kernel.references import completed_any
from papertape.engine.kernel.series import note_bar
from papertape.engine.kernel.state import READINGS_MASK
from papertape.engine.kernel.view import MarketData
from papertape.events.units import DAY_MS

if TYPE_CHECKING:
    from collections.abc import Callable

    from papertape.engine.kernel.sets.tables import CandleTable, MarketRows
    from papertape.engine.kernel.state import FactColumns


def store_row(rows: MarketRows, n: int, f: int, data: MarketData) -> None:
    """Keep what was observed at a fact in arrays, which copy what they are given."""
    rows.fact[n] = f
    rows.markets[n] = data.market
    for k in range(len(data.series)):
        rows.series[k][n] = data.series[k].candle
    for k in range(len(data.signals)):
        rows.signals[n][k] = data.signals[k]


def store_state(states: Any, r: int, state: Any) -> None:
    """Keep a state in an array."""
    states[r] = state


def make_prepare(note_row: Callable[..., None]) -> Callable[..., tuple[int, int]]:
    """Make the pass over the facts of one symbol that fills the tables; it returns the numbers of rows and closes.

    It takes the facts `f` to `total` - 1; the tables already have `n` rows, `a` closes and `i` candles.
    `note_row(rows, n, f, data)` keeps what was observed at the fact `f`. `desks` and `accounts` hold nothing and know
    no end of the day, so that a whole candle of a series is taken at once. `shown` says by kind which other facts have
    rows.
    """

    def prepare(
        views: Any,
        facts: Any,
        f: int,
        total: int,
        n: int,
        a: int,
        i: int,
        scratch: Any,
        markets: Any,
        settlements: Any,
        readings: Any,
        signals: Any,
        slots: Any,
        desks: Any,
        accounts: Any,
        shown: Any,
        table: Any,
        asks: Any,
        rows: Any,
    ) -> tuple[int, int]:
        fact, market = scratch[0], markets[0]
        data = MarketData(market, views, settlements[0], readings[0], signals[0], ())
        while 0 <= f < total:
            kind, last = facts.kind[f], f - 1
            if kind == CANDLE:
                last = fast_forward(facts, f, facts.run_end[f], data, desks[0], accounts[0])
            if last < f:
                last = f
                load_fact(fact, facts, f)
                observe(fact, data, slots)
            if kind == CANDLE:
                for _ in range(f, last + 1):
                    table.ask[i] = a
                    table.turbulent[i] = views[0].candle.turbulent_at_open
                    table.booked[i] = market.booked
                    table.due[i] = market.due
                    i += 1
                if completed_any(views) or market.reset == 1:
                    note_row(rows, n, last, data)
                    if views[0].candle.completed == 1:
                        asks.candle[a] = i - 1
                        asks.row[a] = n
                        a += 1
                    n += 1
            elif shown[kind] == 1:
                note_row(rows, n, last, data)
                n += 1
            f = last + 1
        return n, a

    return prepare


def fill_pauses(candles: FactColumns, table: CandleTable) -> int:
    """Write the next candle, from each on, that begins a day or has funding due; return how many there are.

    Also write the close of the candle before, as it is with a single symbol; with several, `fill_order` replaces it.
    """
    opens_ms, times_ms, count = candles.open_time_ms, candles.time_ms, 0
    at, day_ms, previous_ms, last = len(opens_ms), 0, 0, len(opens_ms) - 1
    if last >= 0:
        day_ms = opens_ms[last] // DAY_MS * DAY_MS
    for i in range(last, -1, -1):
        previous_ms = opens_ms[i - 1] if i > 0 else -1
        table.before_ms[i] = times_ms[i - 1] if i > 0 else 0
        begins = not day_ms <= previous_ms < day_ms + DAY_MS
        if begins:
            day_ms = previous_ms // DAY_MS * DAY_MS
        if begins or table.booked[i] != table.due[i]:
            at = i
            count += 1
        table.pause[i] = at
    return count


def fill_order(facts: FactColumns, following: Any, table: CandleTable) -> int:
    """Write the order of candles and the closes before them, from facts in their order; return how many there are.

    `following` has the number of each symbol's first candle in the table, and moves on.
    """
    rank, last_ms = 0, 0
    for f in range(len(facts.kind)):
        if facts.kind[f] == CANDLE:
            i = following[facts.symbol[f]]
            following[facts.symbol[f]] = i + 1
            table.order[i] = rank
            table.before_ms[i] = last_ms
            last_ms = facts.time_ms[f]
            rank += 1
    return rank


def note_bars(views: Any) -> None:
    """Write what the series completed to their histories."""
    for view in views:
        if view.candle.completed == 1:
            note_bar(view.candle, view.bars)


def make_update_row(update_strategy: Callable[..., None]) -> Callable[..., None]:
    """Make the function that shows one row to a strategy, with the rings of history as they were."""

    def update_row(
        views: Any,
        others: Any,
        symbol: int,  # noqa: ARG001 - a row of a strategy with references may be that of another symbol's candle
        fact: Any,
        market: Any,
        settlements: Any,
        readings: Any,
        signals: Any,
        state: Any,
        params: Any,
    ) -> None:
        if fact.kind == CANDLE:
            note_bars(views)
        elif fact.kind == OPEN_INTEREST:
            note_reading(readings[(market.readings - 1) & READINGS_MASK], fact)
        update_strategy(fact, MarketData(market, views, settlements, readings, signals, others), state, params)

    return update_row


def make_follow_rows(update_row: Callable[..., None], note_state: Callable[..., None]) -> Callable[..., int]:
    """Make the pass over rows of a symbol that keeps the strategy's state at each.

    `update_row` is bound by `with_rows`. Only these fields of the fact are read; the row holds what was observed.
    """

    def follow_rows(
        facts: Any,
        scratch: Any,
        rows: Any,
        symbol: int,
        first: int,
        total: int,
        bars: Any,
        settlements: Any,
        readings: Any,
        state: Any,
        params: Any,
        states: Any,
    ) -> int:
        fact, rings = scratch[0], (settlements[0], readings[0])
        for r in range(first, total):
            f = rows.fact[r]
            fact.kind, fact.symbol = facts.kind[f], facts.symbol[f]
            fact.time_ms, fact.close = facts.time_ms[f], facts.close[f]
            update_row(rows, bars, r, symbol, fact, rows.markets[r], *rings, rows.signals[r], state[0], params[0])
            note_state(states, r, state[0])
        return total

    return follow_rows
