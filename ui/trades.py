"""Positions and trades: what is open, what waits, and what was closed, filtered and in pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.projections.site.trade_query import TradeFilter, TradesPage, trades_page

if TYPE_CHECKING:
    from papertape.projections.folds.portfolio import OrderView, PositionView
    from papertape.ui.page_request import PageRequest

TRADES_A_PAGE = 50


class TradesView(Struct, frozen=True):
    """The page's context: the choice and the order as they were asked for, and the names to choose from."""

    positions: tuple[PositionView, ...]
    orders: tuple[OrderView, ...]
    choice: TradeFilter
    order: str
    closed: TradesPage
    strategies: tuple[str, ...]
    symbols: tuple[str, ...]


async def trades(look: PageRequest) -> TradesView:
    """What was asked for. Raises UsageError for a page that is not a number, and an order there is not."""
    views = look.views
    choice = TradeFilter(
        strategy=look.parameter("strategy"),
        symbol=look.parameter("symbol"),
        side=look.parameter("side"),
        reason=look.parameter("reason"),
        result=look.parameter("result"),
    )
    order = look.parameter("sort") or "newest"
    return TradesView(
        positions=views.portfolio.positions(),
        orders=views.portfolio.orders(),
        choice=choice,
        order=order,
        closed=trades_page(views.trades, choice, look.number("page", 1), TRADES_A_PAGE, order),
        strategies=views.strategies,
        symbols=tuple(views.seen),
    )
