"""The views of trading: strategies, positions, orders, equity, daily results and limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from papertape.api.query import LIMIT_DEFAULT, Limit, Name, Query
from papertape.api.view_handler import ViewEndpoint
from papertape.events.errors import UsageError
from papertape.events.facts import RunnerConfigured
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
from papertape.projections.folds.total import TotalView
from papertape.projections.site.equity_curves import DayResult, day_results

if TYPE_CHECKING:
    from papertape.api.view_handler import ViewContext
    from papertape.projections.site.views import Views


class StrategyQuery(Query, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One strategy."""

    strategy: Name


class OptionalStrategyQuery(Query, frozen=True, forbid_unknown_fields=True):
    """One strategy; empty means all."""

    strategy: Annotated[str, Meta(max_length=100)] = ""


class DaysQuery(Query, frozen=True, forbid_unknown_fields=True):
    """The last complete days and the current one."""

    limit: Limit = LIMIT_DEFAULT


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


def runner_configuration(views: Views, strategy: str) -> RunnerConfigured:
    """Return the configuration of a strategy's runner. Raise UsageError for a name that this log does not have."""
    if strategy not in views.runners:
        raise UsageError(
            f"there is no strategy {strategy!r} here; there are: {', '.join(views.strategies) or 'none yet'}"
        )
    return views.runners[strategy]


async def _runners(context: ViewContext, _: Query) -> tuple[AccountView, ...]:
    return context.views.portfolio.accounts()


async def _runner(context: ViewContext, query: StrategyQuery) -> RunnerDetail:
    views, name = context.views, query.strategy
    runner = runner_configuration(views, name)
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


async def _positions(context: ViewContext, query: OptionalStrategyQuery) -> tuple[PositionView, ...]:
    return context.views.portfolio.positions(_strategy(context, query) or None)


async def _orders(context: ViewContext, query: OptionalStrategyQuery) -> tuple[OrderView, ...]:
    name = _strategy(context, query)
    return tuple(order for order in context.views.portfolio.orders() if name in ("", order.strategy))


def _strategy(context: ViewContext, query: OptionalStrategyQuery) -> str:
    """Return the requested strategy, or an empty name. Raise UsageError for an unknown one."""
    return runner_configuration(context.views, query.strategy).strategy if query.strategy else ""


async def _equity(context: ViewContext, query: OptionalStrategyQuery) -> EquityCurvesView:
    views, name = context.views, _strategy(context, query)
    portfolio = views.portfolio
    capital = sum(account.capital_usdt for account in portfolio.accounts())
    strategies = tuple(view for view in portfolio.equity.views() if name in ("", view.strategy))
    return EquityCurvesView(
        portfolio.equity.total().view(capital),
        strategies,
        views.marks.views(),
        views.epochs.total(),
        views.buy_and_hold.points(capital),
    )


async def _risk(context: ViewContext, _: Query) -> RiskView:
    switches = context.views.portfolio.switches
    return RiskView(context.views.limits.views(), switches.active_trips(), switches.past_trips())


async def _days(context: ViewContext, query: DaysQuery) -> tuple[DayResult, ...]:
    return day_results(context.views.portfolio.equity.views(), context.views.days, query.limit)


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
        OptionalStrategyQuery,
    ),
    ViewEndpoint(
        "orders",
        "The orders that wait: for the next open, or resting at a price",
        tuple[OrderView, ...],
        _orders,
        OptionalStrategyQuery,
    ),
    ViewEndpoint(
        "equity",
        "Equity over time, of all strategies together and of each",
        EquityCurvesView,
        _equity,
        OptionalStrategyQuery,
    ),
    ViewEndpoint(
        "days",
        "The results of UTC days, oldest first; the last one is in progress",
        tuple[DayResult, ...],
        _days,
        DaysQuery,
    ),
    ViewEndpoint("risk", "The usage of limits, and active and past kill switch trips", RiskView, _risk),
)
