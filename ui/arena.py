"""The arena: all strategies side by side, and one strategy taken apart."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.events.errors import LogBusy, UsageError
from papertape.events.facts import GLOBAL_SCOPE
from papertape.projections.folds.breakdown import BreakdownView
from papertape.projections.site.equity_curves import course_drawdowns, equity_curves
from papertape.projections.site.ports import ConditionsView
from papertape.ui.overview import EquityCurvesPicture, all_courses, course_points

if TYPE_CHECKING:
    from collections.abc import Mapping

    from papertape.events.facts import RunnerConfigured
    from papertape.projections.folds.arena import ArenaRow
    from papertape.projections.folds.coverage import CoverageView, DataView
    from papertape.projections.folds.limits import LimitView
    from papertape.projections.folds.performance import Performance
    from papertape.projections.folds.portfolio import AccountView, PositionView
    from papertape.projections.folds.trades import TradeView
    from papertape.projections.site.ports import Progress, StrategyView
    from papertape.projections.site.views import RejectedSignal
    from papertape.ui.page_request import PageRequest

TRADES_SHOWN_MAX = 12
SYMBOLS_EXPLAINED_MAX = 12
MARKS_SHOWN_MAX = 200
FEED_MARKS = ("outage", "start")
CONDITIONS_S_MAX = 0.5
"""A first look into a long log takes longer: the page comes without, and asks again."""


BySymbol = tuple[tuple[str, tuple[ConditionsView, ...]], ...]


class ArenaPage(Struct, frozen=True):
    """The page's context."""

    rows: tuple[ArenaRow, ...]
    coverage: Mapping[str, CoverageView]
    picture: EquityCurvesPicture


async def arena(look: PageRequest) -> ArenaPage:
    """The ranking."""
    portfolio = look.views.portfolio
    total = portfolio.equity.total().view(portfolio.view().capital_usdt)
    rows, coverage = look.views.arena.rows(), look.views.coverage
    return ArenaPage(rows, {row.strategy: coverage.of(row.strategy) for row in rows}, all_courses(look, total))


class Parameter(Struct, frozen=True):
    """One parameter: its value in force, and what the strategy says of it."""

    name: str
    value: int | float
    default: object
    unit: str
    about: str
    bounds: str


class StrategyPage(Struct, frozen=True):
    """The page's context. `refusals` is the last signal that came to nothing, by symbol.

    `early_ends` are the strategy's symbols whose data ends before the others'.
    """

    account: AccountView
    figures: Performance
    about: StrategyView | None
    runner: RunnerConfigured
    parameters: tuple[Parameter, ...]
    conditions: BySymbol | None
    progress: Progress
    positions: tuple[PositionView, ...]
    trades: tuple[TradeView, ...]
    parts: BreakdownView
    coverage: CoverageView
    early_ends: tuple[DataView, ...]
    limits: tuple[LimitView, ...]
    refusals: Mapping[str, RejectedSignal]
    names: tuple[str, ...]
    picture: EquityCurvesPicture


async def strategy(look: PageRequest) -> StrategyPage:
    """One strategy. Raises UsageError for a name that was never configured."""
    name, views = look.path["name"], look.views
    if name not in views.runners:
        raise UsageError(f"there is no strategy {name!r}; there are: {', '.join(views.runners) or 'none yet'}")
    # What is waited for comes first: the views move while others have their turn.
    conditions = await _conditions(look, views.runners[name])
    closed, runner = views.trades.closed(name), views.runners[name]
    about = next((one for one in look.site.strategies if one.name == name), None)
    return StrategyPage(
        account=views.portfolio.account(name),
        figures=views.arena.performance(name),
        about=about,
        runner=runner,
        parameters=_parameters(runner, about),
        conditions=conditions,
        progress=look.site.inspector.progress(look.seq),
        positions=views.portfolio.positions(name),
        trades=closed[: -TRADES_SHOWN_MAX - 1 : -1],
        parts=views.arena.breakdown(name),
        coverage=views.coverage.of(name),
        early_ends=tuple(data for data in views.coverage.early_ends() if data.symbol in runner.symbols),
        limits=views.limits.of(name),
        refusals={symbol: refusal for (who, symbol), refusal in views.refusals.items() if who == name},
        names=views.strategies,
        picture=_picture(look, name),
    )


def _picture(look: PageRequest, name: str) -> EquityCurvesPicture:
    """Its own course with the drawdown beneath, and the marks that say something of it."""
    equity, marks = look.views.portfolio.equity, look.views.marks.views()
    view, most = equity.view(name), course_points(look)
    return EquityCurvesPicture(
        courses=equity_curves(equity.total().view(view.capital_usdt), [view], most)[1:],
        drawdowns=course_drawdowns(view, most),
        marks=tuple(mark for mark in marks if mark.kind in FEED_MARKS or mark.subject in {name, GLOBAL_SCOPE})[
            -MARKS_SHOWN_MAX:
        ],
    )


async def _conditions(look: PageRequest, runner: RunnerConfigured) -> BySymbol | None:
    """Both sides' conditions of every symbol, of the first ones where there are many; None where they take long."""
    symbols = runner.symbols[:SYMBOLS_EXPLAINED_MAX]
    try:
        async with asyncio.timeout(CONDITIONS_S_MAX):
            found = await look.site.inspector.conditions(look.seq, runner.strategy, symbols)
    except (TimeoutError, LogBusy):
        return None
    return tuple((symbol, tuple(one for one in found if one.symbol == symbol)) for symbol in symbols)


def _parameters(runner: RunnerConfigured, about: StrategyView | None) -> tuple[Parameter, ...]:
    known = _properties(about.parameters_schema) if about is not None else {}
    return tuple(_parameter(name, value, known.get(name, {})) for name, value in runner.parameters.items())


def _parameter(name: str, value: float, schema: Mapping[str, object]) -> Parameter:
    about, unit = (str(schema.get(key, "")) for key in ("description", "x-unit"))
    return Parameter(name, value, schema.get("default"), unit, about, _bounds(schema))


def _bounds(schema: Mapping[str, object]) -> str:
    """The valid range in words."""
    words = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
    return " ".join(f"{word} {schema[key]:g}" for key, word in words.items() if key in schema)


def _properties(schema: Mapping[str, object]) -> Mapping[str, Mapping[str, object]]:
    found = schema.get("properties")
    return found if isinstance(found, dict) else {}
