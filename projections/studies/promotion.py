"""What a set of a study promises, as the event that the log records when a strategy begins to run with it."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Final

from papertape.events.errors import UsageError
from papertape.events.facts import ResultBand, StudyPromoted
from papertape.events.units import DAY_MS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from papertape.projections.studies.document import Document, PromisedResult, StudyPlan
    from papertape.projections.studies.reader import SetFigures

TRADES_MAX: Final = 500
BAND_STEPS: Final = ((20, 1), (50, 5), (100, 10), (200, 20), (TRADES_MAX, 50))
"""A band of each trade up to 20, then of every fifth up to 50, and so on.

Between two of them a quantile, which is `mean n + z sd sqrt(n)`, is off the line by less than 0.03 standard deviations
of a trade.
"""
LOWEST_EXTRAPOLATED: Final = 0.41422
"""(z of 1 % - z of 5 %) / z of 5 % of a normal distribution, for studies without the 1 % quantile."""
DECIMALS: Final = 4


def promise_of(
    plan: StudyPlan, document: Document, figures: SetFigures, study_digest: str, against_advice: str
) -> StudyPromoted:
    """Return the promise of a set, still without the parameters and the digest of the code as they are installed.

    The verdict's set promises what the sets chosen in the folds did out of sample. Another set promises only the trades
    and wins of the whole period, as the study found out nothing else about it. Raise UsageError for a number that is
    not finite.
    """
    of_verdict = document.promise if figures.number == document.verdict.chosen_set else None
    days = max((plan.until_ms - plan.from_ms) / DAY_MS, 1.0)
    return StudyPromoted(
        at_ms=0,
        strategy=plan.strategy,
        study=plan.name,
        study_digest=study_digest,
        results_digest=document.digest,
        set_number=figures.number,
        symbols=plan.traded_symbols or plan.symbols,
        parameters={},
        code_digest=plan.code_digest,
        verdict=document.verdict.outcome,
        against_advice=against_advice,
        trades_per_day=_rounded(figures.trades / days if of_verdict is None else of_verdict.trades_per_day),
        win_rate=_rounded(_share(figures.wins, figures.trades) if of_verdict is None else of_verdict.win_rate),
        mean_r=None if of_verdict is None else _rounded(of_verdict.mean_r),
        cost_per_trade_r=None if of_verdict is None else _rounded(of_verdict.cost_per_trade_r),
        drawdown_95_fraction=None if of_verdict is None else _rounded(of_verdict.drawdown_95_fraction),
        bands=() if of_verdict is None else tuple(_bands(of_verdict)),
    )


def _bands(promise: PromisedResult) -> Iterator[ResultBand]:
    known = min(len(promise.bands_r), TRADES_MAX)
    for trades in (trades for trades in _band_trades() if trades <= known):
        low, *rest = promise.bands_r[trades - 1]
        lowest = promise.lowest_r[trades - 1] if promise.lowest_r else low - LOWEST_EXTRAPOLATED * (rest[1] - low)
        yield ResultBand(trades, *(_rounded(value) for value in (lowest, low, *rest)))


def _band_trades() -> Iterator[int]:
    trades = 0
    for until, step in BAND_STEPS:
        while trades < until:
            trades += step
            yield trades


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _rounded(value: float) -> float:
    if not isfinite(value):
        raise UsageError("the study promises a number that is not finite; nothing can be compared with it")
    return round(float(value), DECIMALS)
