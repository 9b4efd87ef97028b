"""The first two passes for a strategy with references: a symbol has a row for each candle of a reference as well.

Every row holds what was observed of the references at that moment, so the later passes read it like any other row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from papertape.engine.kernel.codes import CANDLE
from papertape.engine.kernel.fast_forward import load_fact
from papertape.engine.kernel.observe import observe, observe_market
from papertape.engine.kernel.references import completed_any
from papertape.engine.kernel.series import observe_series
from papertape.engine.kernel.sets.prepare import note_bars, store_row
from papertape.engine.kernel.view import MarketData

if TYPE_CHECKING:
    from collections.abc import Callable

    from papertape.engine.kernel.sets.tables import MarketRows
    from papertape.engine.kernel.state import Fact, Readings, Settlements


def store_row_beside(rows: MarketRows, n: int, f: int, data: MarketData) -> None:
    """Keep what was observed of a symbol and of the references at a fact in arrays."""
    store_row(rows, n, f, data)
    k = len(data.series)
    for j in range(len(data.references)):
        other = data.references[j]
        rows.others[j][n] = other.market
        for one in other.series:
            rows.series[k][n] = one.candle
            k += 1


def observe_reference(fact: Fact, others: Any, settlements: Settlements, readings: Readings) -> bool:
    """Take in a candle if it is of a reference; return whether that completed a candle of a series.

    The rings do not matter: a strategy sees no settlements or readings of a reference.
    """
    for other in others:
        if other.symbol == fact.symbol:
            observe_market(fact, other.market, settlements, readings)
            for one in other.series:
                observe_series(one.candle, one.bars, fact, other.market.reset)
            return completed_any(other.series)
    return False


def make_prepare_beside(note_row: Callable[..., None]) -> Callable[..., tuple[int, int]]:
    """Make the pass over the facts of all symbols, in their order, that fills the tables for the one given.

    It is bound by `with_data`; for the rest see `make_prepare`.
    """

    def prepare(
        data: Any,
        facts: Any,
        symbol: int,
        n: int,
        a: int,
        i: int,
        scratch: Any,
        slots: Any,
        shown: Any,
        table: Any,
        asks: Any,
        rows: Any,
    ) -> tuple[int, int]:
        fact, views, market = scratch[0], data.series, data.market
        for f in range(len(facts.kind)):
            kind = facts.kind[f]
            if facts.symbol[f] != symbol:
                if kind == CANDLE:
                    load_fact(fact, facts, f)
                    if observe_reference(fact, data.references, data.settlements, data.readings):
                        note_row(rows, n, f, data)
                        n += 1
                continue
            load_fact(fact, facts, f)
            observe(fact, data, slots)
            completed = 0
            if kind == CANDLE:
                table.ask[i] = a
                table.turbulent[i] = views[0].candle.turbulent_at_open
                table.booked[i] = market.booked
                table.due[i] = market.due
                i += 1
                completed = views[0].candle.completed
            if shown[kind] == 1 if kind != CANDLE else completed_any(views) or market.reset == 1:
                note_row(rows, n, f, data)
                if completed == 1:
                    asks.candle[a] = i - 1
                    asks.row[a] = n
                    a += 1
                n += 1
        return n, a

    return prepare


def make_update_beside(
    update_row: Callable[..., None], update_by_reference: Callable[..., None]
) -> Callable[..., None]:
    """Make the function that shows one row to a strategy with references.

    `update_row` is that of `make_update_row` for rows of its own symbol, `update_by_reference` that of
    `make_reference_update`.
    """

    def update_beside(
        views: Any,
        others: Any,
        symbol: int,
        fact: Any,
        market: Any,
        settlements: Any,
        readings: Any,
        signals: Any,
        state: Any,
        params: Any,
    ) -> None:
        if fact.kind == CANDLE:
            for other in others:
                if other.symbol == fact.symbol:
                    note_bars(other.series)
        if fact.symbol == symbol:
            update_row(views, others, symbol, fact, market, settlements, readings, signals, state, params)
        else:
            data = MarketData(market, views, settlements, readings, signals, others)
            update_by_reference(fact, data, state, params)

    return update_beside
