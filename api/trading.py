"""The views of trading: strategies side by side and one by one, positions, orders, results over time, limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from papertape.api.answers import View
from papertape.api.query import LIMIT_DEFAULT, Limit, Name, Query
from papertape.events.errors import UsageError
from papertape.events.facts import RunnerConfigured
from papertape.projections.folds.arena import ArenaRow
from papertape.projections.folds.breakdown import BreakdownView, breakdown
from papertape.projections.folds.coverage import CoverageView
from papertape.projections.folds.equity import EquityView
from papertape.projections.folds.kill_switches import TripView
from papertape.projections.folds.limits import LimitView
from papertape.projections.folds.marks import Mark
from papertape.projections.folds.performance import Performance
from papertape.projections.folds.portfolio import AccountView, OrderView, PositionView
from papertape.projections.folds.total import TotalView
from papertape.projections.site.equity_curves import DayResult, day_results

if TYPE_CHECKING:
    from papertape.api.answers import Scene
    from papertape.projections.site.views import Views


class OneRunner(Query, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One strategy."""

    strategy: Name


class SomeRunner(Query, frozen=True, forbid_unknown_fields=True):
    """One strategy, or all without a name."""

    strategy: Annotated[str, Meta(max_length=100)] = ""


class LastDays(Query, frozen=True, forbid_unknown_fields=True):
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


class Courses(Struct, frozen=True):
    """Equity over time: of all strategies together, of each, and the marks beside it."""

    total: TotalView
    strategies: tuple[EquityView, ...]
    marks: tuple[Mark, ...]


class Risk(Struct, frozen=True):
    """Every limit as used and allowed, the trips that stand, and the last ones that were reset."""

    limits: tuple[LimitView, ...]
    trips: tuple[TripView, ...]
    past: tuple[TripView, ...]


def configured(views: Views, strategy: str) -> RunnerConfigured:
    """The runner of a strategy. Raises UsageError for a name that this log does not have."""
    if strategy not in views.runners:
        raise UsageError(
            f"there is no strategy {strategy!r} here; there are {', '.join(views.strategies) or 'none yet'}"
        )
    return views.runners[strategy]


async def _runners(scene: Scene, _: Query) -> tuple[AccountView, ...]:
    return scene.views.portfolio.accounts()


async def _runner(scene: Scene, query: OneRunner) -> RunnerDetail:
    views, name = scene.views, query.strategy
    runner = configured(views, name)
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


async def _arena(scene: Scene, _: Query) -> tuple[ArenaRow, ...]:
    return scene.views.arena.rows()


async def _positions(scene: Scene, query: SomeRunner) -> tuple[PositionView, ...]:
    return scene.views.portfolio.positions(_known(scene, query) or None)


async def _orders(scene: Scene, query: SomeRunner) -> tuple[OrderView, ...]:
    name = _known(scene, query)
    return tuple(order for order in scene.views.portfolio.orders() if name in ("", order.strategy))


def _known(scene: Scene, query: SomeRunner) -> str:
    """The strategy that is asked for. Raises UsageError for one that there is not."""
    return configured(scene.views, query.strategy).strategy if query.strategy else ""


async def _equity(scene: Scene, query: SomeRunner) -> Courses:
    views, name = scene.views, _known(scene, query)
    portfolio = views.portfolio
    capital = sum(account.capital_usdt for account in portfolio.accounts())
    strategies = tuple(view for view in portfolio.equity.views() if name in ("", view.strategy))
    return Courses(portfolio.equity.total().view(capital), strategies, views.marks.views())


async def _risk(scene: Scene, _: Query) -> Risk:
    switches = scene.views.portfolio.switches
    return Risk(scene.views.limits.views(), switches.active(), switches.past())


async def _days(scene: Scene, query: LastDays) -> tuple[DayResult, ...]:
    return day_results(scene.views.portfolio.equity.views(), scene.views.days, query.limit)


VIEWS = (
    View("runners", "The accounts of all strategies, as configured", tuple[AccountView, ...], _runners),
    View("runners/{strategy}", "One strategy with its parameters and results", RunnerDetail, _runner, OneRunner),
    View("arena", "The strategies side by side, the best first", tuple[ArenaRow, ...], _arena),
    View("positions", "The open positions, marked at the last close", tuple[PositionView, ...], _positions, SomeRunner),
    View("orders", "The orders that wait for the next open", tuple[OrderView, ...], _orders, SomeRunner),
    View("equity", "Equity over time, of all together and of each", Courses, _equity, SomeRunner),
    View("days", "The results of UTC days, oldest first, the last one so far", tuple[DayResult, ...], _days, LastDays),
    View("risk", "Limits as used and allowed, kill switches that stand, and past ones", Risk, _risk),
)
