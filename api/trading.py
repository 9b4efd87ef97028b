"""The views of trading: strategies side by side and one by one, positions, orders, results over time, limits."""

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
from papertape.projections.folds.equity import EquityView
from papertape.projections.folds.kill_switches import TripView
from papertape.projections.folds.limits import LimitView
from papertape.projections.folds.marks import EquityMarker
from papertape.projections.folds.performance import Performance
from papertape.projections.folds.portfolio import AccountView, OrderView, PositionView
from papertape.projections.folds.total import TotalView
from papertape.projections.site.equity_curves import DayResult, day_results

if TYPE_CHECKING:
    from papertape.api.view_handler import ViewContext
    from papertape.projections.site.views import Views


class StrategyQuery(Query, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One strategy."""

    strategy: Name


class OptionalStrategyQuery(Query, frozen=True, forbid_unknown_fields=True):
    """One strategy, or all without a name."""

    strategy: Annotated[str, Meta(max_length=100)] = ""


class DaysQuery(Query, frozen=True, forbid_unknown_fields=True):
    """The last days that are over, and the one that goes on."""

    limit: Limit = LIMIT_DEFAULT


class RunnerDetail(Struct, frozen=True):
    """One strategy: its account, settings, results, coverage and limits."""

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


class EquityCurvesView(Struct, frozen=True):
    """Equity over time: of all strategies together, of each, and the marks beside it."""

    total: TotalView
    strategies: tuple[EquityView, ...]
    marks: tuple[EquityMarker, ...]


class RiskView(Struct, frozen=True):
    """Every limit as used and allowed, the trips that stand, and the last ones that were reset."""

    limits: tuple[LimitView, ...]
    trips: tuple[TripView, ...]
    past: tuple[TripView, ...]


def runner_configuration(views: Views, strategy: str) -> RunnerConfigured:
    """The runner of a strategy. Raises UsageError for a name that this log does not have."""
    if strategy not in views.runners:
        raise UsageError(
            f"there is no strategy {strategy!r} here; there are {', '.join(views.strategies) or 'none yet'}"
        )
    return views.runners[strategy]


async def _runners(scene: ViewContext, _: Query) -> tuple[AccountView, ...]:
    return scene.views.portfolio.accounts()


async def _runner(scene: ViewContext, query: StrategyQuery) -> RunnerDetail:
    views, name = scene.views, query.strategy
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
    )


async def _arena(scene: ViewContext, _: Query) -> tuple[ArenaRow, ...]:
    return scene.views.arena.rows()


async def _positions(scene: ViewContext, query: OptionalStrategyQuery) -> tuple[PositionView, ...]:
    return scene.views.portfolio.positions(_known(scene, query) or None)


async def _orders(scene: ViewContext, query: OptionalStrategyQuery) -> tuple[OrderView, ...]:
    name = _known(scene, query)
    return tuple(order for order in scene.views.portfolio.orders() if name in ("", order.strategy))


def _known(scene: ViewContext, query: OptionalStrategyQuery) -> str:
    """The strategy that is asked for. Raises UsageError for one that there is not."""
    return runner_configuration(scene.views, query.strategy).strategy if query.strategy else ""


async def _equity(scene: ViewContext, query: OptionalStrategyQuery) -> EquityCurvesView:
    views, name = scene.views, _known(scene, query)
    portfolio = views.portfolio
    capital = sum(account.capital_usdt for account in portfolio.accounts())
    strategies = tuple(view for view in portfolio.equity.views() if name in ("", view.strategy))
    return EquityCurvesView(portfolio.equity.total().view(capital), strategies, views.marks.views())


async def _risk(scene: ViewContext, _: Query) -> RiskView:
    switches = scene.views.portfolio.switches
    return RiskView(scene.views.limits.views(), switches.active_trips(), switches.past_trips())


async def _days(scene: ViewContext, query: DaysQuery) -> tuple[DayResult, ...]:
    return day_results(scene.views.portfolio.equity.views(), scene.views.days, query.limit)


VIEWS = (
    ViewEndpoint("runners", "The accounts of all strategies, as configured", tuple[AccountView, ...], _runners),
    ViewEndpoint(
        "runners/{strategy}", "One strategy with its parameters and results", RunnerDetail, _runner, StrategyQuery
    ),
    ViewEndpoint("arena", "The strategies side by side, the best first", tuple[ArenaRow, ...], _arena),
    ViewEndpoint(
        "positions",
        "The open positions, marked at the last close",
        tuple[PositionView, ...],
        _positions,
        OptionalStrategyQuery,
    ),
    ViewEndpoint(
        "orders", "The orders that wait for the next open", tuple[OrderView, ...], _orders, OptionalStrategyQuery
    ),
    ViewEndpoint(
        "equity", "Equity over time, of all together and of each", EquityCurvesView, _equity, OptionalStrategyQuery
    ),
    ViewEndpoint(
        "days", "The results of UTC days, oldest first, the last one so far", tuple[DayResult, ...], _days, DaysQuery
    ),
    ViewEndpoint("risk", "Limits as used and allowed, kill switches that stand, and past ones", RiskView, _risk),
)
