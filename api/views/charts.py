"""The market as the kernel sees it: candles with indicators and fills, and the conditions of an entry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from papertape.api.query import LIMIT_DEFAULT, SEQ_MAX, Limit, Name, Query
from papertape.api.view_handler import ViewEndpoint
from papertape.projections.folds.fills import FillView
from papertape.projections.folds.resting_prices import RestingPrice
from papertape.projections.site.chart_fills import fills
from papertape.projections.site.ports import ChartView, ConditionsView

if TYPE_CHECKING:
    from papertape.api.view_handler import ViewContext

UNITS_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}


class ChartQuery(Query, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The last candles of a symbol and timeframe; with `before_ms`, the last ones that closed by that time.

    With `strategy`, the chart has the readings that its `PLOT` names.
    """

    symbol: Name
    timeframe: Annotated[
        str, Meta(pattern=r"^[1-9][0-9]{0,3}[mhd]$", description="For example 1m, 5m, 15m, 1h, 1d.")
    ] = "1m"
    limit: Limit = LIMIT_DEFAULT
    before_ms: Annotated[int, Meta(ge=1, le=SEQ_MAX, description="UTC ms of market time.")] | None = None
    strategy: Name | None = None


class StrategySymbolQuery(Query, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A strategy and a symbol."""

    strategy: Name
    symbol: Name


class CandlesView(Struct, frozen=True):
    """A chart, the fills within it, and the prices at which orders rested meanwhile."""

    chart: ChartView
    fills: tuple[FillView, ...]
    resting: tuple[RestingPrice, ...]


async def _candles(context: ViewContext, query: ChartQuery) -> CandlesView:
    portfolio, trades = context.views.portfolio, context.views.trades.closed(symbol=query.symbol)
    positions = portfolio.positions()
    timeframe_ms = int(query.timeframe[:-1]) * UNITS_MS[query.timeframe[-1]]
    chart = await context.site.inspector.chart(
        context.as_of.seq, query.symbol, timeframe_ms, query.limit, query.before_ms, query.strategy
    )
    if not chart.candles:
        return CandlesView(chart, (), ())
    from_ms, until_ms = chart.candles[0].open_time_ms, context.as_of.at_ms
    if query.before_ms is not None:
        until_ms = chart.candles[-1].open_time_ms + timeframe_ms
    resting = context.views.resting.of(query.symbol, from_ms, until_ms)
    return CandlesView(chart, fills(trades, positions, query.symbol, from_ms, until_ms), resting)


async def _conditions(context: ViewContext, query: StrategySymbolQuery) -> tuple[ConditionsView, ...]:
    return await context.site.inspector.conditions(context.as_of.seq, query.strategy, [query.symbol])


VIEWS = (
    ViewEndpoint(
        "candles/{symbol}",
        "The last candles with indicators, fills and resting prices, and with a strategy's readings",
        CandlesView,
        _candles,
        ChartQuery,
    ),
    ViewEndpoint(
        "conditions",
        "The conditions of an entry, met or not",
        tuple[ConditionsView, ...],
        _conditions,
        StrategySymbolQuery,
    ),
)
