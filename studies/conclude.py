"""From the results of a study to its conclusions: the chosen sets, what they did afterwards, and the verdict."""

from __future__ import annotations

from importlib.util import find_spec
from math import fsum, sqrt
from statistics import median
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from papertape.projections.folds.metrics import YEAR_DAYS, daily_returns, mean
from papertape.projections.studies.document import Costs, Document, PromisedResult
from papertape.studies.choice import CHOSEN_TRADES_MIN, choose
from papertape.studies.evidence import Evidence, Family, OutOfSample, Stress, Trials
from papertape.studies.gates import CONFIDENCE, judge
from papertape.studies.joined import equity_of, join, yardsticks
from papertape.studies.statistics.plateau import plateau
from papertape.studies.statistics.sharpe import (
    SharpeRatio,
    deflated_sharpe,
    luck_benchmark,
    minimum_backtest_length,
    minimum_track_record,
    probabilistic_sharpe,
    ratio_variance,
    sharpe_ratio,
)
from papertape.studies.statistics.stress import with_higher_costs
from papertape.studies.verdict import make_verdict
from papertape.studies.walk import (
    fold_results,
    matrix_cell,
    net_of,
    net_with,
    pairs_of,
    set_records,
    slope_of,
    trades_of,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.studies.chance import Chance
    from papertape.studies.context import ResultSource, StudyContext
    from papertape.studies.folds import Fold
    from papertape.studies.joined import DayReturns
    from papertape.studies.real_runs import RealTrade
    from papertape.studies.statistics.bootstrap import MeanInterval
    from papertape.studies.statistics.plateau import Plateau
    from papertape.studies.walk import SetRecord, Step

WHOLE: Final = 0
"""The id of the span that is the whole study."""
NEEDS_NUMPY: Final = "needs numpy: pip install 'papertape[study]'"


class _Tests(Struct, frozen=True):
    """The tests of all folds, joined."""

    steps: list[Step]
    trades: list[RealTrade]
    joined: DayReturns
    interval: MeanInterval | None
    drawdown_95: float | None


def conclude(source: ResultSource, folds: Sequence[Fold], context: StudyContext) -> Document:
    """Return the conclusions of a study whose sets were run over the whole span and over the spans of its folds.

    Tests that need numpy or arch are skipped where these are missing, and say so.
    """
    tests = _tests(walk(source, folds, context), context)
    records = set_records(source, folds, context)
    pairs = pairs_of(records, len(folds))
    trials, chosen = _trials(source, context)
    chance = _chance(source, context)
    evidence = Evidence(
        outside=_outside(tests, context) if folds else None,
        trials=trials,
        family=replace(chance.family, slope=slope_of(pairs)) if chance is not None else _no_numpy(source),
        plateau=_plateau(chosen, records, folds, context) if folds else None,
        stress=_stress(tests, context) if folds else None,
    )
    verdict = make_verdict(
        judge(evidence),
        chosen,
        context.space.values(chosen) if chosen is not None else {},
        trials.count,
        chance.effective_trials if chance is not None else None,
        chance.survivors if chance is not None else (),
    )
    windows, symbols = context.windows, context.plan.traded_symbols or context.plan.symbols
    return Document(
        verdict=verdict,
        costs=_costs(tests.trades),
        folds=fold_results(tests.steps, context),
        matrix=tuple(matrix_cell(source, other, others, context) for other, others in context.matrix),
        joined=equity_of(tests.joined, context.capital_usdt),
        yardsticks=tuple(yardsticks(context.tape, symbols, [fold.test for fold in folds], context.capital_usdt)),
        pairs=pairs,
        slope=evidence.family.slope,
        statistics=_statistics(evidence, tests, chance),
        promise=_promise(tests, context),
        trials=trials.count,
        whole_span=WHOLE,
        train_ms=windows.train_ms if windows is not None else 0,
        test_ms=windows.test_ms if windows is not None else 0,
        embargo_ms=windows.embargo_ms if windows is not None else 0,
        anchored=windows is not None and windows.anchored,
        warnings=context.plan.warnings,
    )


def _tests(steps: list[Step], context: StudyContext) -> _Tests:
    """Join the tests, and draw what chance makes of their days and trades."""
    joined = join(step.part(context.capital_usdt) for step in steps)
    trades = trades_of(steps)
    if not _has_numpy():
        return _Tests(steps, trades, joined, None, None)
    from papertape.studies.chance import drawdown_95  # noqa: PLC0415 - numpy belongs to an extra
    from papertape.studies.statistics.bootstrap import mean_interval  # noqa: PLC0415 - likewise

    fall = drawdown_95([trade.net_usdt for trade in trades], context.capital_usdt, context.seed)
    return _Tests(steps, trades, joined, mean_interval(list(joined.values()), seed=context.seed), fall)


def _has_numpy() -> bool:
    return find_spec("numpy") is not None


def _outside(tests: _Tests, context: StudyContext) -> OutOfSample:
    """Return what the gates look at in the joined tests."""
    trades, interval = tests.trades, tests.interval
    ratios = [trade.cost_usdt / trade.stop_usdt for trade in trades if trade.stop_usdt > 0.0]
    return OutOfSample(
        trades=len(trades),
        days=len(tests.joined),
        until_ms=max(step.fold.test.end_ms or context.plan.until_ms for step in tests.steps),
        net_usdt=fsum(step.net_usdt(context.capital_usdt) for step in tests.steps),
        sharpe=sharpe_ratio(list(tests.joined.values())),
        chosen_folds=sum(step.choice is not None for step in tests.steps),
        cost_to_stop=median(ratios) if ratios else None,
        gross_usdt=mean([trade.gross_usdt for trade in trades]) or 0.0,
        cost_usdt=mean([trade.cost_usdt for trade in trades]) or 0.0,
        lower=interval.lower if interval is not None else None,
        upper=interval.upper if interval is not None else None,
        why=interval.why if interval is not None else NEEDS_NUMPY,
    )


def _trials(source: ResultSource, context: StudyContext) -> tuple[Trials, int | None]:
    """Return the ratio of the best set over the whole span against all that were tried, and its number."""
    rows = source.rows(WHOLE)
    variance = ratio_variance([ratio / sqrt(YEAR_DAYS) for _, _, ratio in rows if ratio is not None])
    choice, count = choose(rows), max(context.trials, len(rows))
    if choice is None:
        return Trials(None, variance, count), None
    equities = dict(zip(*source.days(WHOLE), strict=True)).get(choice.number)
    days = daily_returns(context.capital_usdt, equities.tolist()) if equities is not None else []
    return Trials(sharpe_ratio(days), variance, count), choice.number


def _chance(source: ResultSource, context: StudyContext) -> Chance | None:
    """Return the tests over all sets that traded often enough; None without numpy."""
    if not _has_numpy():
        return None
    from papertape.studies.chance import sets_against_chance  # noqa: PLC0415 - numpy belongs to an extra

    rows = [row for row in source.rows(WHOLE) if row[1].trades >= CHOSEN_TRADES_MIN]
    return sets_against_chance(rows, *source.days(WHOLE), context.capital_usdt, context.seed)


def _no_numpy(source: ResultSource) -> Family:
    return Family(len(source.rows(WHOLE)), overfitting_why=NEEDS_NUMPY, family_why=NEEDS_NUMPY)


def _plateau(
    chosen: int | None, records: dict[int, SetRecord], folds: Sequence[Fold], context: StudyContext
) -> Plateau | None:
    """Return what the neighbours of the chosen set earned in the tests; None without neighbours.

    Neighbours that were not drawn are run over the tests. Nothing is chosen by them, so they are no trials.
    """
    if chosen is None or chosen not in records:
        return None
    nets = [
        records[number].net_usdt if number in records else net_of(number, folds, context)
        for number in context.space.neighbours(chosen)
    ]
    return plateau(records[chosen].net_usdt, nets)


def _stress(tests: _Tests, context: StudyContext) -> Stress:
    """Return what is left of the result with higher costs, and with the trades in other orders."""
    risk = context.risk
    session_loss, risk_percent = risk.max_session_loss_percent / 100.0, risk.max_risk_per_trade_percent
    if not tests.trades:
        return Stress(None, None, session_loss, risk_percent, "there are no trades out of sample")
    if tests.drawdown_95 is None:
        return Stress(None, None, session_loss, risk_percent, NEEDS_NUMPY)
    net = net_with(tests.steps, context, with_higher_costs(risk))
    return Stress(net, tests.drawdown_95, session_loss, risk_percent)


def _costs(trades: Sequence[RealTrade]) -> Costs:
    """Return what the closed trades of the tests earned and paid."""
    return Costs(
        gross_usdt=fsum(trade.gross_usdt for trade in trades),
        fees_usdt=fsum(trade.fees_usdt for trade in trades),
        slippage_usdt=fsum(trade.slippage_usdt for trade in trades),
        funding_usdt=fsum(trade.funding_usdt for trade in trades),
        net_usdt=fsum(trade.net_usdt for trade in trades),
        trades=len(trades),
    )


def _promise(tests: _Tests, context: StudyContext) -> PromisedResult | None:
    """Return what the chosen sets' trades promise for those to come; None without trades or numpy."""
    trades = tests.trades
    if not trades or tests.drawdown_95 is None:
        return None
    from papertape.studies.chance import bands  # noqa: PLC0415 - numpy belongs to an extra

    results_r = [trade.r_multiple for trade in trades]
    costs_r = [trade.cost_usdt / risk for trade in trades if (risk := trade.risk_usdt)]
    drawn = bands(results_r, context.seed)
    return PromisedResult(
        trades_per_day=len(trades) / len(tests.joined),
        win_rate=sum(trade.net_usdt > 0.0 for trade in trades) / len(trades),
        mean_r=fsum(results_r) / len(trades),
        cost_per_trade_r=mean(costs_r) or 0.0,
        drawdown_95_fraction=tests.drawdown_95,
        bands_r=tuple(band[1:] for band in drawn),
        lowest_r=tuple(band[0] for band in drawn),
    )


def _statistics(evidence: Evidence, tests: _Tests, chance: Chance | None) -> dict[str, float | None]:
    """Return the numbers behind the gates, by name; Sharpe ratios are annualised."""
    outside, trials = evidence.outside, evidence.trials
    found: dict[str, float | None] = {}
    if outside is not None:
        found |= _ratio_statistics(outside.sharpe)
        found |= {"mean_day_lower": outside.lower, "mean_day_upper": outside.upper}
        found["block_days"] = tests.interval.block_days if tests.interval is not None else None
        found |= {"cost_to_stop": outside.cost_to_stop, "gross_per_trade_usdt": outside.gross_usdt}
        found["cost_per_trade_usdt"] = outside.cost_usdt
    luck = luck_benchmark(trials.variance, trials.count)
    ratio = trials.sharpe
    found |= {
        "chosen_sharpe": _annual(ratio.ratio) if ratio is not None else None,
        "luck_sharpe": _annual(luck) if luck is not None else None,
        "deflated_sharpe": deflated_sharpe(ratio, trials.variance, trials.count) if ratio is not None else None,
        "years_needed": minimum_backtest_length(trials.count, _annual(ratio.ratio)) if ratio is not None else None,
        "overfitting": evidence.family.overfitting,
        "family_p": evidence.family.p_value,
    }
    if chance is not None and chance.path_sharpes:
        paths = chance.path_sharpes
        found |= {"paths_low": paths[0], "paths_median": median(paths), "paths_high": paths[-1]}
    if evidence.plateau is not None:
        found["profitable_neighbours"] = evidence.plateau.profitable_share
    if evidence.stress is not None:
        found |= {"stress_net_usdt": evidence.stress.net_usdt, "drawdown_95": evidence.stress.drawdown_95}
    return found


def _ratio_statistics(sharpe: SharpeRatio | None) -> dict[str, float | None]:
    """Return what the days out of sample say about their Sharpe ratio."""
    if sharpe is None:
        return dict.fromkeys(("sharpe", "skewness", "kurtosis", "probabilistic_sharpe", "days_needed"))
    return {
        "sharpe": _annual(sharpe.ratio),
        "skewness": sharpe.skewness,
        "kurtosis": sharpe.kurtosis,
        "probabilistic_sharpe": probabilistic_sharpe(sharpe),
        "days_needed": minimum_track_record(sharpe, confidence=CONFIDENCE),
    }


def _annual(ratio_per_day: float) -> float:
    return ratio_per_day * sqrt(YEAR_DAYS)
