"""What a market looked like at every moment at which a strategy is shown something, kept for all sets of parameters.

Rows are arrays for compiled code and lists of Structs for CPython; both are indexed step by step, `table[a][b]`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct

from papertape.engine.kernel.references import as_it_is
from papertape.engine.kernel.view import Reference, SeriesView

if TYPE_CHECKING:
    from collections.abc import Callable

    from papertape.engine.kernel.references import Part


class MarketRows(NamedTuple):
    """Symbol by symbol, a row for every fact that a strategy is shown, in order, and one for all candles between.

    `fact` is the index of the fact. `series` has the rows of each series, `signals` the last signals by row. For a
    strategy with references, whose symbols are `references`, the rows of their series follow those of its own, and
    `others` has their markets.
    """

    fact: Any
    series: Any
    markets: Any
    signals: Any
    others: Any
    references: Any


class CandleTable(NamedTuple):
    """What the trading of every candle needs besides its prices.

    `ask` counts the closes of the strategy's timeframe before it, `turbulent` is the regime's flag at its open, and
    settlements `booked` to `due` - 1 are due there. `pause` is the next candle, from this one on, that begins a day or
    has something due. `order` is its number among the candles of all symbols as they came, `before_ms` the close of the
    candle before it there.
    """

    ask: Any
    turbulent: Any
    booked: Any
    due: Any
    pause: Any
    order: Any
    before_ms: Any


class Asks(NamedTuple):
    """The closes of the strategy's timeframe: the index of candle and row. One more stands behind the last candle."""

    candle: Any
    row: Any


class Tables(NamedTuple):
    """A prepared market: candles with their table, closes, rows, and all settlements by their number.

    Each of them has what belongs to one symbol after what belongs to another.
    """

    candles: Any
    table: Any
    asks: Any
    rows: Any
    due: Any


class SymbolTurn(Struct, array_like=True):
    """How far a set is with one of several symbols.

    It goes on with `candle`, and `end` is behind its last one; its next entry is not before the one with the number
    `entry`. `idle` is its row of the candles between closes, and `due` the number of its first settlement.
    """

    candle: int = 0
    end: int = 0
    entry: int = 0
    idle: int = 0
    due: int = 0


class Exchange(NamedTuple):
    """What an account trades by, and where its decisions are written."""

    rules: Any
    contracts: Any
    tiers: Any
    answers: Any
    out: Any
    notes: Any


def with_rows(count: int, references: int, act: Callable[..., Any], part: Part = as_it_is) -> Callable[..., Any]:
    """Bind `act(views, references, ...)` into `act_on(rows, bars, r, ...)` for row `r`, with the first rings.

    `count` and `references` are the numbers of series and of references.
    """
    if references == 0:
        alone = part(with_views(count, act))

        def act_on(rows: Any, bars: Any, r: int, *rest: Any) -> Any:
            return alone(rows.series, bars, 0, r, (), *rest)

        return act_on

    def act_with_one(first: Any, rows: Any, r: int, views: Any, *rest: Any) -> Any:
        return act(views, (Reference(rows.references[0], rows.others[0][r], first),), *rest)

    def act_with_two(second: Any, rows: Any, r: int, first: Any, views: Any, *rest: Any) -> Any:
        one = Reference(rows.references[0], rows.others[0][r], first)
        return act(views, (one, Reference(rows.references[1], rows.others[1][r], second)), *rest)

    last = part(with_views(count, part((act_with_one, act_with_two)[references - 1])))

    def act_on_last(views: Any, rows: Any, bars: Any, r: int, *rest: Any) -> Any:
        return last(rows.series, bars, count, r, rows, r, views, *rest)

    def act_on_second(first: Any, rows: Any, bars: Any, r: int, views: Any, *rest: Any) -> Any:
        return last(rows.series, bars, 2 * count, r, rows, r, first, views, *rest)

    def act_on_both(views: Any, rows: Any, bars: Any, r: int, *rest: Any) -> Any:
        return first_of_two(rows.series, bars, count, r, rows, bars, r, views, *rest)

    first_of_two = part(with_views(count, part(act_on_second)))
    own = part(with_views(count, part((act_on_last, act_on_both)[references - 1])))

    def act_beside(rows: Any, bars: Any, r: int, *rest: Any) -> Any:
        return own(rows.series, bars, 0, r, rows, bars, r, *rest)

    return act_beside


def with_views(count: int, act: Callable[..., Any]) -> Callable[..., Any]:
    """Bind `act(views, ...)` into `act_on(series, bars, k, r, ...)`: the views of row `r` from series `k` on."""

    def act_on_one(series: Any, bars: Any, k: int, r: int, *rest: Any) -> Any:
        return act((SeriesView(series[k][r], bars[k][0]),), *rest)

    def act_on_two(series: Any, bars: Any, k: int, r: int, *rest: Any) -> Any:
        return act((SeriesView(series[k][r], bars[k][0]), SeriesView(series[k + 1][r], bars[k + 1][0])), *rest)

    def act_on_three(series: Any, bars: Any, k: int, r: int, *rest: Any) -> Any:
        views = SeriesView(series[k][r], bars[k][0]), SeriesView(series[k + 1][r], bars[k + 1][0])
        return act((*views, SeriesView(series[k + 2][r], bars[k + 2][0])), *rest)

    def act_on_four(series: Any, bars: Any, k: int, r: int, *rest: Any) -> Any:
        views = SeriesView(series[k][r], bars[k][0]), SeriesView(series[k + 1][r], bars[k + 1][0])
        third = SeriesView(series[k + 2][r], bars[k + 2][0])
        return act((*views, third, SeriesView(series[k + 3][r], bars[k + 3][0])), *rest)

    return (act_on_one, act_on_two, act_on_three, act_on_four)[count - 1]
