"""A walk-forward over the results of a study: in every fold, the set chosen in training and what it did in the test."""

from __future__ import annotations

from math import fsum
from statistics import StatisticsError, linear_regression
from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.events.units import DAY_MS
from papertape.projections.folds.metrics import daily_returns, sharpe
from papertape.projections.studies.document import FoldResult, MatrixCell, Pair
from papertape.studies.choice import Choice, choose
from papertape.studies.joined import DayPart, join

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.engine.kernel.risk_settings import RiskSettings
    from papertape.studies.context import ResultSource, StudyContext
    from papertape.studies.folds import Fold, Windows
    from papertape.studies.real_runs import RealRun, RealTrade

PAIRS_MAX = 4_000


class Step(Struct, frozen=True):
    """One fold: the set that was chosen, and its backtest over the test; None where no set was chosen."""

    fold: Fold
    choice: Choice | None
    run: RealRun | None

    def part(self, capital_usdt: float) -> DayPart:
        """Return the equities by end of day in the test; an account without a set stays in cash."""
        if self.run is not None and self.run.day_equities_usdt:
            return self.run.from_ms // DAY_MS, capital_usdt, self.run.day_equities_usdt
        start_ms, end_ms = self.fold.test.start_ms or 0, self.fold.test.end_ms or 0
        days = (end_ms - 1) // DAY_MS - start_ms // DAY_MS + 1
        return start_ms // DAY_MS, capital_usdt, [capital_usdt] * days

    def net_usdt(self, capital_usdt: float) -> float:
        """Return the result of the test, an open position marked at the last close."""
        return self.run.end_equity_usdt - capital_usdt if self.run is not None else 0.0


class SetRecord(Struct):
    """What one set did over all folds: sums of its Sharpe ratios, and its net result in the tests in USDT."""

    inside: float = 0.0
    outside: float = 0.0
    rated: int = 0
    net_usdt: float = 0.0


def walk(source: ResultSource, folds: Sequence[Fold], context: StudyContext) -> list[Step]:
    """Choose a set in every training window and run it over the test that follows."""
    steps = []
    for fold in folds:
        choice = choose_in(source, fold, context)
        run = context.run(context.space.values(choice.number), fold.test, context.risk) if choice is not None else None
        steps.append(Step(fold, choice, run))
    return steps


def choose_in(source: ResultSource, fold: Fold, context: StudyContext) -> Choice | None:
    """Return the set that a fold's training chooses."""
    span_id = context.spans[fold.train]
    equities = dict(zip(*source.days(span_id), strict=True))
    until_ms = fold.train.end_ms or context.plan.until_ms
    return choose(source.rows(span_id), equities, context.capital_usdt, until_ms, fold.test.start_ms)


def net_with(steps: Sequence[Step], context: StudyContext, risk: RiskSettings) -> float:
    """Return the joined net result of the chosen sets with other costs."""
    runs = (
        context.run(context.space.values(step.choice.number), step.fold.test, risk)
        for step in steps
        if step.choice is not None
    )
    return fsum(run.end_equity_usdt - risk.capital_usdt for run in runs)


def net_of(number: int, folds: Sequence[Fold], context: StudyContext) -> float:
    """Return the net result of one set over all tests."""
    runs = (context.run(context.space.values(number), fold.test, context.risk) for fold in folds)
    return fsum(run.end_equity_usdt - context.capital_usdt for run in runs)


def trades_of(steps: Sequence[Step]) -> list[RealTrade]:
    """Return the trades of all tests, in order."""
    return [trade for step in steps if step.run is not None for trade in step.run.trades]


def fold_results(steps: Sequence[Step], context: StudyContext) -> tuple[FoldResult, ...]:
    """Return the folds as the page shows them."""
    return tuple(_fold_result(step, context) for step in steps)


def _fold_result(step: Step, context: StudyContext) -> FoldResult:
    fold, choice, (_, capital_usdt, equities) = step.fold, step.choice, step.part(context.capital_usdt)
    return FoldResult(
        number=fold.number,
        train_from_ms=fold.train.start_ms or context.plan.from_ms,
        train_until_ms=fold.train.end_ms or context.plan.until_ms,
        test_from_ms=fold.test.start_ms or context.plan.from_ms,
        test_until_ms=fold.test.end_ms or context.plan.until_ms,
        chosen_set=choice.number if choice is not None else None,
        parameters=context.space.values(choice.number) if choice is not None else {},
        train_sharpe=choice.sharpe if choice is not None else None,
        test_sharpe=sharpe(daily_returns(capital_usdt, equities)),
        test_net_usdt=step.net_usdt(context.capital_usdt),
        test_trades=len(step.run.trades) if step.run is not None else 0,
    )


def matrix_cell(source: ResultSource, windows: Windows, folds: Sequence[Fold], context: StudyContext) -> MatrixCell:
    """Return what a walk-forward with other windows earned, by the stored results of its tests."""
    capital_usdt, nets, trades, parts = context.capital_usdt, [], 0, list[DayPart]()
    for fold in folds:
        choice = choose_in(source, fold, context)
        if choice is None:
            parts.append(Step(fold, None, None).part(capital_usdt))
            nets.append(0.0)
            continue
        span_id = context.spans[fold.test]
        for number, result, _ in source.rows(span_id):
            if number == choice.number:
                nets.append(result.end_equity_usdt - capital_usdt)
                trades += result.trades
        equities = dict(zip(*source.days(span_id), strict=True)).get(choice.number)
        if equities is not None:
            parts.append(((fold.test.start_ms or context.plan.from_ms) // DAY_MS, capital_usdt, equities.tolist()))
    return MatrixCell(
        train_ms=windows.train_ms,
        test_ms=windows.test_ms,
        folds=len(folds),
        profitable_folds=sum(net > 0.0 for net in nets),
        net_usdt=fsum(nets),
        sharpe=sharpe(list(join(parts).values())) if len(parts) == len(folds) else None,
        trades=trades,
    )


def set_records(source: ResultSource, folds: Sequence[Fold], context: StudyContext) -> dict[int, SetRecord]:
    """Return what every set did over all folds, by its number. A set that did not trade has a Sharpe ratio of 0."""
    records: dict[int, SetRecord] = {}
    for fold in folds:
        for number, _, ratio in source.rows(context.spans[fold.train]):
            record = records.setdefault(number, SetRecord())
            record.inside += ratio or 0.0
            record.rated += ratio is not None
        for number, result, ratio in source.rows(context.spans[fold.test]):
            record = records.setdefault(number, SetRecord())
            record.outside += ratio or 0.0
            record.net_usdt += result.end_equity_usdt - context.capital_usdt
    return records


def pairs_of(records: dict[int, SetRecord], folds: int) -> tuple[Pair, ...]:
    """Return the mean Sharpe ratios of sets in and out of sample, of at most 4,000 sets evenly spread by number."""
    rated = [(number, record) for number, record in sorted(records.items()) if record.rated]
    step = -(-len(rated) // PAIRS_MAX) or 1
    return tuple(Pair(number, one.inside / folds, one.outside / folds) for number, one in rated[::step])


def slope_of(pairs: Sequence[Pair]) -> float | None:
    """Return the slope of out- on in-sample ratios; None without two different sets."""
    try:
        return linear_regression([pair.inside for pair in pairs], [pair.outside for pair in pairs]).slope
    except StatisticsError:
        return None
