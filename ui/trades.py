"""Positions and trades: open positions, pending orders, and closed trades with filters and pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.projections.site.trade_query import NEWEST, TradeFilter, TradesPage, trades_page

if TYPE_CHECKING:
    from papertape.projections.folds.pending_orders import OrderView
    from papertape.projections.folds.portfolio import PositionView
    from papertape.ui.page_request import PageRequest

TRADES_PER_PAGE = 50


class TradesView(Struct, frozen=True):
    """The context of the page: the requested filter and order, and the names to choose from."""

    positions: tuple[PositionView, ...]
    orders: tuple[OrderView, ...]
    selection: TradeFilter
    order: str
    closed: TradesPage
    strategies: tuple[str, ...]
    symbols: tuple[str, ...]


async def trades(request: PageRequest) -> TradesView:
    """Load the requested page of trades. Raise UsageError for an invalid page number or an unknown order."""
    views = request.views
    selection = TradeFilter(
        strategy=request.parameter("strategy"),
        symbol=request.parameter("symbol"),
        side=request.parameter("side"),
        reason=request.parameter("reason"),
        result=request.parameter("result"),
    )
    order = request.parameter("sort") or NEWEST
    return TradesView(
        positions=views.portfolio.positions(),
        orders=views.portfolio.orders(),
        selection=selection,
        order=order,
        closed=trades_page(views.trades, selection, request.number("page", 1), TRADES_PER_PAGE, order),
        strategies=views.strategies,
        symbols=tuple(views.freshness),
    )
