"""The market as the kernel sees it: candles with indicators and fills, and the conditions of an entry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from papertape.api.query import LIMIT_DEFAULT, Limit, Name, Query
from papertape.api.ranges import Cursor, TimeRangeQuery, check_cursor, check_one_name, former_name, time_range
from papertape.api.view_handler import ViewEndpoint
from papertape.projections.folds.fills import FillView
from papertape.projections.folds.resting_prices import RestingPrice
from papertape.projections.site.chart_fills import fills
from papertape.projections.site.ports import CandleView, ChartView, ConditionsView, PlotLine

if TYPE_CHECKING:
    from papertape.api.view_handler import ViewContext

UNITS_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}


class ChartQuery(TimeRangeQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Candles of a symbol and timeframe that opened and closed within a range of time, the last ones first.

    With `strategy`, the chart has the readings that its `PLOT` names.
    """

    symbol: Name
    timeframe: Annotated[
        str, Meta(pattern=r"^[1-9][0-9]{0,3}[mhd]$", description="For example 1m, 5m, 15m, 1h, 1d.")
    ] = "1m"
    limit: Limit = LIMIT_DEFAULT
    cursor: Cursor = 0
    before_ms: Annotated[int, former_name("cursor")] | None = None
    strategy: Name | None = None


class StrategySymbolQuery(Query, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A strategy and a symbol."""

    strategy: Name
    symbol: Name


class CandlesView(Struct, frozen=True):
    """A chart, the fills within it, and the prices at which orders rested meanwhile.

    `next`, as the `cursor` of the same query, leads to earlier candles.
    """

    chart: ChartView
    fills: tuple[FillView, ...]
    resting: tuple[RestingPrice, ...]
    next: int | None = None

    @property
    def items(self) -> tuple[CandleView, ...]:
        """The candles, oldest first."""
        return self.chart.candles


async def _candles(context: ViewContext, query: ChartQuery) -> CandlesView:
    from_ms, until_ms = time_range(query)
    check_cursor(query.cursor, context.as_of.at_ms)
    check_one_name("cursor", query.cursor or None, "before_ms", query.before_ms)
    cursor_ms = query.cursor or query.before_ms
    before_ms = min(until_ms, cursor_ms or until_ms) if query.to or cursor_ms else None
    timeframe_ms = int(query.timeframe[:-1]) * UNITS_MS[query.timeframe[-1]]
    read = await context.site.inspector.chart(
        context.as_of.seq, query.symbol, timeframe_ms, query.limit, before_ms, query.strategy
    )
    chart = _opened_from(read, from_ms)
    if not chart.candles:
        return CandlesView(chart, (), ())
    first_ms, last_ms = chart.candles[0].open_time_ms, context.as_of.at_ms
    if before_ms is not None:
        last_ms = chart.candles[-1].open_time_ms + timeframe_ms
    positions, trades = context.views.portfolio.positions(), context.views.trades.closed(symbol=query.symbol)
    resting = context.views.resting.of(query.symbol, first_ms, last_ms)
    shown = fills(trades, positions, query.symbol, first_ms, last_ms)
    has_more = first_ms - timeframe_ms >= from_ms
    if has_more and len(chart.candles) < query.limit:  # A chart does not read back across a long hole.
        older = await context.site.inspector.chart(context.as_of.seq, query.symbol, timeframe_ms, 1, first_ms)
        has_more = any(one.open_time_ms >= from_ms for one in older.candles)
    return CandlesView(chart, shown, resting, first_ms if has_more else None)


def _opened_from(chart: ChartView, from_ms: int) -> ChartView:
    """Return a chart without the candles that opened before a time."""
    cut = sum(one.open_time_ms < from_ms for one in chart.candles)
    plot = chart.plot
    return replace(
        chart,
        candles=chart.candles[cut:],
        vwap=chart.vwap[cut:],
        rsi=chart.rsi[cut:],
        funding=tuple(one for one in chart.funding if one.settled_at_ms >= from_ms),
        plot=None if plot is None else replace(plot, lines=_lines_from(plot.lines, cut)),
        lines=_lines_from(chart.lines, cut),
    )


def _lines_from(lines: tuple[PlotLine, ...], cut: int) -> tuple[PlotLine, ...]:
    return tuple(replace(one, values=one.values[cut:]) for one in lines)


async def _conditions(context: ViewContext, query: StrategySymbolQuery) -> tuple[ConditionsView, ...]:
    return await context.site.inspector.conditions(context.as_of.seq, query.strategy, [query.symbol])


VIEWS = (
    ViewEndpoint(
        "candles/{symbol}",
        "Candles with indicators, fills and resting prices, and with a strategy's readings, in pages",
        CandlesView,
        _candles,
        ChartQuery,
        "The first page has the newest candles, each page the oldest first; `next` leads to earlier candles.",
    ),
    ViewEndpoint(
        "conditions",
        "The conditions of an entry, met or not",
        tuple[ConditionsView, ...],
        _conditions,
        StrategySymbolQuery,
    ),
)
