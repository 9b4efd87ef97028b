"""The views of trading: strategies, positions, orders, equity, daily results and limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

from msgspec import Meta, Struct
from msgspec.structs import replace

from papertape.api.query import LIMIT_DEFAULT, NAME_CHARS_MAX, Limit, Name, Query
from papertape.api.ranges import Cursor, TimeRangeQuery, check_cursor, time_range
from papertape.api.view_handler import Page, ViewEndpoint
from papertape.api.views.names import check_strategy, check_symbol
from papertape.projections.folds.arena import ArenaRow
from papertape.projections.folds.breakdown import BreakdownView, breakdown
from papertape.projections.folds.coverage import CoverageView
from papertape.projections.folds.curve import EquityPoint
from papertape.projections.folds.epochs import EpochView
from papertape.projections.folds.equity import EquityView
from papertape.projections.folds.kill_switches import TripView
from papertape.projections.folds.limits import LimitView
from papertape.projections.folds.marks import EquityMarker
from papertape.projections.folds.pending_orders import OrderView
from papertape.projections.folds.performance import Performance
from papertape.projections.folds.portfolio import AccountView, PositionView
from papertape.projections.folds.total import DrawdownPoint, TotalView
from papertape.projections.site.equity_curves import DayResult, day_results
from papertape.projections.text.formats import MOMENT_MS_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable

    from papertape.api.view_handler import ViewContext

Text = Annotated[str, Meta(max_length=NAME_CHARS_MAX)]
Held = TypeVar("Held", PositionView, OrderView)
Dated = TypeVar("Dated", EquityPoint, DrawdownPoint)


class StrategyQuery(Query, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One strategy."""

    strategy: Name


class HeldQuery(Query, frozen=True, forbid_unknown_fields=True):
    """One strategy and one symbol; empty means all."""

    strategy: Text = ""
    symbol: Text = ""


class EquityQuery(TimeRangeQuery, frozen=True, forbid_unknown_fields=True):
    """One strategy, empty means all; and the market time of the points and marks."""

    strategy: Text = ""


class DaysQuery(TimeRangeQuery, frozen=True, forbid_unknown_fields=True):
    """The days that begin in a range, the last ones first; the newest one is in progress."""

    limit: Limit = LIMIT_DEFAULT
    cursor: Cursor = 0


class RunnerDetail(Struct, frozen=True):
    """One strategy: its account, settings, results, coverage and limits; `epochs` has its results by configuration."""

    account: AccountView
    parameters: dict[str, int | float]
    symbol_parameters: dict[str, dict[str, int | float]]
    risk: dict[str, int | float]
    code_digest: str
    performance: Performance
    breakdown: BreakdownView
    coverage: CoverageView
    limits: tuple[LimitView, ...]
    positions: tuple[PositionView, ...]
    orders: tuple[OrderView, ...]
    epochs: tuple[EpochView, ...]


class EquityCurvesView(Struct, frozen=True):
    """Equity over time, of all strategies together and of each, with event markers.

    `epochs` has the results of all strategies by configuration. `buy_and_hold` is what their capital would be worth in
    equal parts of every watched symbol, without costs.
    """

    total: TotalView
    strategies: tuple[EquityView, ...]
    marks: tuple[EquityMarker, ...]
    epochs: tuple[EpochView, ...]
    buy_and_hold: tuple[EquityPoint, ...]


class RiskView(Struct, frozen=True):
    """The usage of every limit, the active trips, and the last trips that were reset."""

    limits: tuple[LimitView, ...]
    trips: tuple[TripView, ...]
    past: tuple[TripView, ...]


async def _runners(context: ViewContext, _: Query) -> tuple[AccountView, ...]:
    return context.views.portfolio.accounts()


async def _runner(context: ViewContext, query: StrategyQuery) -> RunnerDetail:
    views, name = context.views, query.strategy
    check_strategy(context, name)
    runner = views.runners[name]
    return RunnerDetail(
        account=views.portfolio.account(name),
        parameters=runner.parameters,
        symbol_parameters=runner.symbol_parameters,
        risk=runner.risk,
        code_digest=runner.code_digest,
        performance=views.arena.performance(name),
        breakdown=breakdown(views.trades.closed(name)),
        coverage=views.coverage.of(name),
        limits=views.limits.of(name),
        positions=views.portfolio.positions(name),
        orders=tuple(order for order in views.portfolio.orders() if order.strategy == name),
        epochs=views.epochs.of(name),
    )


async def _arena(context: ViewContext, _: Query) -> tuple[ArenaRow, ...]:
    return context.views.arena.rows()


async def _positions(context: ViewContext, query: HeldQuery) -> tuple[PositionView, ...]:
    return _held(context, query, context.views.portfolio.positions())


async def _orders(context: ViewContext, query: HeldQuery) -> tuple[OrderView, ...]:
    return _held(context, query, context.views.portfolio.orders())


def _held(context: ViewContext, query: HeldQuery, items: Iterable[Held]) -> tuple[Held, ...]:
    """Return the positions or orders of a strategy and symbol. Raise UsageError for an unknown name."""
    check_strategy(context, query.strategy)
    check_symbol(context, query.symbol)
    return tuple(one for one in items if query.strategy in ("", one.strategy) and query.symbol in ("", one.symbol))


async def _equity(context: ViewContext, query: EquityQuery) -> EquityCurvesView:
    check_strategy(context, query.strategy)
    views, (from_ms, until_ms) = context.views, time_range(query)
    portfolio = views.portfolio
    capital = sum(account.capital_usdt for account in portfolio.accounts())
    total = portfolio.equity.total().view(capital)

    def within(points: Iterable[Dated]) -> tuple[Dated, ...]:
        return tuple(one for one in points if from_ms <= one.at_ms <= until_ms)

    return EquityCurvesView(
        replace(total, curve=within(total.curve), drawdowns=within(total.drawdowns)),
        tuple(
            replace(one, curve=within(one.curve))
            for one in portfolio.equity.views()
            if query.strategy in ("", one.strategy)
        ),
        tuple(one for one in views.marks.views() if one.at_ms <= until_ms and _end_ms(one) >= from_ms),
        views.epochs.total(),
        within(views.buy_and_hold.points(capital)),
    )


def _end_ms(mark: EquityMarker) -> int:
    """Return when a mark ends; an outage that continues has no end yet."""
    return mark.until_ms or (MOMENT_MS_MAX if mark.kind == "outage" else 0)


async def _risk(context: ViewContext, _: Query) -> RiskView:
    switches = context.views.portfolio.switches
    return RiskView(context.views.limits.views(), switches.active_trips(), switches.past_trips())


async def _days(context: ViewContext, query: DaysQuery) -> Page[DayResult]:
    from_ms, until_ms = time_range(query)
    check_cursor(query.cursor, context.as_of.at_ms)
    until_ms = min(until_ms, query.cursor - 1) if query.cursor else until_ms
    equities, days = context.views.portfolio.equity.views(), context.views.days
    found = day_results(equities, days, query.limit + 1, from_ms, until_ms)
    page = found[-query.limit :]
    return Page(page, page[0].day_ms if len(found) > len(page) else None)


VIEWS = (
    ViewEndpoint("runners", "The accounts of all strategies, as configured", tuple[AccountView, ...], _runners),
    ViewEndpoint(
        "runners/{strategy}", "One strategy with its parameters and results", RunnerDetail, _runner, StrategyQuery
    ),
    ViewEndpoint("arena", "The strategies ranked by net return, best first", tuple[ArenaRow, ...], _arena),
    ViewEndpoint(
        "positions",
        "The open positions, marked at the last close",
        tuple[PositionView, ...],
        _positions,
        HeldQuery,
    ),
    ViewEndpoint(
        "orders",
        "The orders that wait: for the next open, or resting at a price",
        tuple[OrderView, ...],
        _orders,
        HeldQuery,
    ),
    ViewEndpoint(
        "equity",
        "Equity over time, of all strategies together and of each",
        EquityCurvesView,
        _equity,
        EquityQuery,
        "A range of time chooses points of the curves and marks; the other figures are as of the event.",
    ),
    ViewEndpoint(
        "days",
        "The results of UTC days, in pages; the newest day is in progress",
        Page[DayResult],
        _days,
        DaysQuery,
        "The first page has the newest days, each page the oldest first; `next` leads to earlier days.",
    ),
    ViewEndpoint("risk", "The usage of limits, and active and past kill switch trips", RiskView, _risk),
)
