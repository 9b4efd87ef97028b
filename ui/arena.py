"""The arena, which compares all strategies, and the page of one strategy."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.events.errors import LogBusy, UsageError
from papertape.events.facts import GLOBAL_SCOPE
from papertape.projections.folds.breakdown import BreakdownView
from papertape.projections.site.equity_curves import benchmark_curve, equity_curves, strategy_drawdowns
from papertape.projections.site.ports import ConditionsView
from papertape.ui.overview import EquityCurvesPicture, all_curves, curve_points, epoch_marks, shown_marks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from papertape.events.facts import RunnerConfigured
    from papertape.projections.folds.arena import ArenaRow
    from papertape.projections.folds.coverage import CoverageView, DataView
    from papertape.projections.folds.epochs import EpochView
    from papertape.projections.folds.limits import LimitView
    from papertape.projections.folds.performance import Performance
    from papertape.projections.folds.portfolio import AccountView, PositionView
    from papertape.projections.folds.promised import PromiseView
    from papertape.projections.folds.trades import TradeView
    from papertape.projections.site.ports import Progress, StrategyView
    from papertape.projections.site.views import RejectedSignal
    from papertape.ui.page_request import PageRequest

TRADES_SHOWN_MAX = 12
SYMBOLS_EXPLAINED_MAX = 12
FEED_MARKS = ("outage", "start")
CONDITIONS_S_MAX = 0.5
"""The first fold of a long log takes longer: the page then comes without conditions and asks for them again."""


BySymbol = tuple[tuple[str, tuple[ConditionsView, ...]], ...]


class ArenaPage(Struct, frozen=True):
    """The context of the page."""

    rows: tuple[ArenaRow, ...]
    coverage: Mapping[str, CoverageView]
    picture: EquityCurvesPicture
    epochs: tuple[EpochView, ...]


async def arena(request: PageRequest) -> ArenaPage:
    """Load the arena."""
    portfolio = request.views.portfolio
    total = portfolio.equity.total().view(portfolio.view().capital_usdt)
    rows, coverage, epochs = request.views.arena.rows(), request.views.coverage, request.views.epochs.total()
    by_name = {row.strategy: coverage.of(row.strategy) for row in rows}
    return ArenaPage(rows, by_name, all_curves(request, total, epochs), epochs)


class Parameter(Struct, frozen=True):
    """A parameter's current value, and its definition in the strategy."""

    name: str
    value: int | float
    default: object
    unit: str
    about: str
    bounds: str


class StrategyPage(Struct, frozen=True):
    """The context of the page. `refusals` has the last refused signal of each symbol.

    `early_ends` has the strategy's symbols whose data ends before that of the others.
    """

    account: AccountView
    figures: Performance
    about: StrategyView | None
    runner: RunnerConfigured
    parameters: tuple[Parameter, ...]
    conditions: BySymbol | None
    explained: bool
    progress: Progress
    positions: tuple[PositionView, ...]
    trades: tuple[TradeView, ...]
    parts: BreakdownView
    coverage: CoverageView
    promise: PromiseView | None
    early_ends: tuple[DataView, ...]
    limits: tuple[LimitView, ...]
    refusals: Mapping[str, RejectedSignal]
    names: tuple[str, ...]
    picture: EquityCurvesPicture
    epochs: tuple[EpochView, ...]


async def strategy(request: PageRequest) -> StrategyPage:
    """Load the page of one strategy. Raise UsageError for a name that was never configured."""
    name, views = request.path["name"], request.views
    if name not in views.runners:
        raise UsageError(f"there is no strategy {name!r}; there are: {', '.join(views.runners) or 'none yet'}")
    # Await first: the views advance while other tasks run.
    conditions = await _conditions(request, views.runners[name])
    closed, runner, epochs = views.trades.closed(name), views.runners[name], views.epochs.of(name)
    about = next((one for one in request.site.strategies if one.name == name), None)
    return StrategyPage(
        account=views.portfolio.account(name),
        figures=views.arena.performance(name),
        about=about,
        runner=runner,
        parameters=_parameters(runner, about),
        conditions=conditions,
        explained=all(one.explained for _, sides in conditions or () for one in sides),
        progress=request.site.inspector.progress(request.seq),
        positions=views.portfolio.positions(name),
        trades=closed[: -TRADES_SHOWN_MAX - 1 : -1],
        parts=views.arena.breakdown(name),
        coverage=views.coverage.of(name),
        promise=views.promised.of(name),
        early_ends=tuple(data for data in views.coverage.early_ends() if data.symbol in runner.symbols),
        limits=views.limits.of(name),
        refusals={symbol: refusal for (owner, symbol), refusal in views.refusals.items() if owner == name},
        names=views.strategies,
        picture=_picture(request, name, epochs),
        epochs=epochs,
    )


def _picture(request: PageRequest, name: str, epochs: Sequence[EpochView]) -> EquityCurvesPicture:
    """Return the strategy's equity curve, its drawdown, the markers that concern it, and buying and holding instead.

    The latter is that of all watched symbols, so a strategy that trades only some of them has none.
    """
    equity, marks, held = request.views.portfolio.equity, request.views.marks.views(), request.views.buy_and_hold
    view, most = equity.view(name), curve_points(request)
    trades_all = held.symbols <= set(request.views.runners[name].symbols)
    points = held.points(view.capital_usdt) if trades_all else ()
    return EquityCurvesPicture(
        curves=equity_curves(equity.total().view(view.capital_usdt), [view], most)[1:],
        drawdowns=strategy_drawdowns(view, most),
        marks=shown_marks(mark for mark in marks if mark.kind in FEED_MARKS or mark.subject in {name, GLOBAL_SCOPE}),
        epochs=epoch_marks(epochs),
        benchmark=benchmark_curve(view.capital_usdt, points, most) if points else None,
    )


async def _conditions(request: PageRequest, runner: RunnerConfigured) -> BySymbol | None:
    """Return the conditions of the first symbols, for both sides; None if that takes too long."""
    symbols = runner.symbols[:SYMBOLS_EXPLAINED_MAX]
    try:
        async with asyncio.timeout(CONDITIONS_S_MAX):
            conditions = await request.site.inspector.conditions(request.seq, runner.strategy, symbols)
    except (TimeoutError, LogBusy):
        return None
    return tuple((symbol, tuple(one for one in conditions if one.symbol == symbol)) for symbol in symbols)


def _parameters(runner: RunnerConfigured, about: StrategyView | None) -> tuple[Parameter, ...]:
    schemas = _properties(about.parameters_schema) if about is not None else {}
    return tuple(_parameter(name, value, schemas.get(name, {})) for name, value in runner.parameters.items())


def _parameter(name: str, value: float, schema: Mapping[str, object]) -> Parameter:
    about, unit = (str(schema.get(key, "")) for key in ("description", "x-unit"))
    return Parameter(name, value, schema.get("default"), unit, about, _bounds(schema))


def _bounds(schema: Mapping[str, object]) -> str:
    """Return the valid range in words."""
    words = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
    return " ".join(f"{word} {schema[key]:g}" for key, word in words.items() if key in schema)


def _properties(schema: Mapping[str, object]) -> Mapping[str, Mapping[str, object]]:
    properties = schema.get("properties")
    return properties if isinstance(properties, dict) else {}
