"""The verdict: eight gates in order, each with its number, its limit, and what would change it.

The first gate that fails decides. The others are shown too, because what they say is worth knowing.
"""

from __future__ import annotations

from math import ceil, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from papertape.events.units import DAY_MS
from papertape.projections.folds.metrics import YEAR_DAYS
from papertape.projections.studies.document import GateResult
from papertape.projections.text.formats import gain, money, percent, utc
from papertape.studies.choice import CHOSEN_TRADES_MIN
from papertape.studies.statistics.sharpe import (
    deflated_sharpe,
    luck_benchmark,
    minimum_track_record,
    probabilistic_sharpe,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from papertape.projections.studies.document import Outcome
    from papertape.studies.evidence import Evidence, OutOfSample

TRADES_MIN: Final = 100
COST_TO_STOP_MAX: Final = 1.0 / 3.0
GROSS_TO_COST_MIN: Final = 2.0
CONFIDENCE: Final = 0.95
OVERFITTING_MAX: Final = 0.2
FAMILY_LEVEL: Final = 0.05
PROFITABLE_NEIGHBOURS_MIN: Final = 0.6
NEIGHBOUR_TO_CHOSEN_MIN: Final = 0.5
DATED_DAYS_MAX: Final = 730
P_MIN: Final = 0.001
"""The smallest probability that a thousand draws tell from 0."""
NO_FOLDS: Final = "there was no walk-forward, so nothing is known out of sample"
PERCENT: Final = "%"


class _Gate(Struct, frozen=True):
    """The name of a gate, and the outcome of a study that fails it."""

    name: str
    title: str
    outcome: Outcome

    def passed(self, number: float, limit: float, unit: str, text: str) -> GateResult:
        """Return the gate as passed."""
        return GateResult(self.name, self.title, "passed", "BET", number, limit, unit, text, "")

    def fail(self, number: float | None, limit: float | None, unit: str, text: str, change: str) -> GateResult:
        """Return the gate as failed."""
        return GateResult(self.name, self.title, "failed", self.outcome, number, limit, unit, text, change)

    def skip(self, text: str, change: str = "") -> GateResult:
        """Return the gate as one that could not be judged, which leaves the study without an answer."""
        outcome: Any = self.outcome if self.outcome == "BET SMALL" else "CANNOT SAY"
        return GateResult(self.name, self.title, "skipped", outcome, None, None, "", text, change)


def judge(evidence: Evidence) -> tuple[GateResult, ...]:
    """Return all gates in order."""
    return tuple(gate(evidence) for gate in GATES)


def enough_data(evidence: Evidence) -> GateResult:
    """Judge whether there are enough trades and days out of sample to say anything."""
    result = _Gate("enough", "Enough data", "CANNOT SAY")
    outside = evidence.outside
    if outside is None:
        return result.skip(NO_FOLDS, "walk the study forward: papertape walkforward NAME --train 90d --test 30d")
    text = f"{outside.trades:,} out-of-sample trades (at least {TRADES_MIN} needed) over {outside.days:,} days"
    ratio = outside.sharpe
    needed: float | None = 0.0
    if ratio is not None and ratio.ratio <= 0.0:
        text += "; the mean daily return is not above zero, so more days would not show an edge"
    elif ratio is not None:
        needed = minimum_track_record(ratio, confidence=CONFIDENCE)
        text += (
            f" (at least {ceil(needed):,} needed)"
            if needed is not None
            else "; daily returns are too uneven to say how many days would be enough"
        )
    change = _more_data(outside, needed)
    if outside.trades < TRADES_MIN:
        return result.fail(outside.trades, TRADES_MIN, "trades", text, change)
    if needed is None or outside.days < needed:
        return result.fail(outside.days, ceil(needed) if needed is not None else None, "days", text, change)
    return result.passed(outside.trades, TRADES_MIN, "trades", text)


def _more_data(outside: OutOfSample, days_needed: float | None) -> str:
    """Return how much more data would be enough."""
    if not outside.chosen_folds:
        return (
            f"no set traded {CHOSEN_TRADES_MIN} times in a training window: use longer windows, wider ranges, or more"
            " symbols"
        )
    if not outside.trades:
        return "the chosen sets never traded in a test window: use longer tests, wider ranges, or more symbols"
    if days_needed is None:
        return "fewer extreme days, from smaller positions or closer stops"
    by_trades = (TRADES_MIN - outside.trades) * max(outside.days, 1) / outside.trades
    days = ceil(max(by_trades, days_needed - outside.days))
    if days > DATED_DAYS_MAX:
        return (
            f"more than {DATED_DAYS_MAX // 365} years at this pace: add symbols instead, or sets that trade more often"
        )
    return f"about {days:,} more days, until {utc(outside.until_ms + days * DAY_MS)[:10]}, would be enough"


def costs(evidence: Evidence) -> GateResult:
    """Judge whether a trade earns enough compared with what it costs."""
    result = _Gate("costs", "Costs", "NO")
    outside = evidence.outside
    if outside is None or outside.cost_to_stop is None:
        return result.skip(NO_FOLDS if outside is None else "no out-of-sample trade has a stop to compare costs with")
    ratio, gross, cost = outside.cost_to_stop, outside.gross_usdt, outside.cost_usdt
    earned = f"earns {money(gross)}" if gross >= 0.0 else f"loses {money(-gross)}"
    text = (
        f"the median trade pays {_share(ratio)} of its loss at the stop in fees and slippage (at most"
        f" {_share(COST_TO_STOP_MAX)}); the mean trade {earned} USDT before costs of {money(cost)} USDT (at least"
        f" {GROSS_TO_COST_MIN:g} times its costs needed)"
    )
    if gross < GROSS_TO_COST_MIN * cost:
        change = (
            f"costs of at most {money(gross / GROSS_TO_COST_MIN)} USDT a trade, or a mean trade of"
            f" {money(GROSS_TO_COST_MIN * cost)} USDT before costs"
            if gross > 0.0
            else "lower costs would not help: the trades lose money before costs"
        )
        return result.fail(gross / cost if cost > 0.0 else None, GROSS_TO_COST_MIN, "x costs", text, change)
    if ratio > COST_TO_STOP_MAX:
        factor = ratio / COST_TO_STOP_MAX
        change = f"stops {factor:.1f} times as far away, or fees and slippage at {_share(1.0 / factor)} of today's"
        return result.fail(100.0 * ratio, 100.0 * COST_TO_STOP_MAX, "% of the stop", text, change)
    return result.passed(100.0 * ratio, 100.0 * COST_TO_STOP_MAX, "% of the stop", text)


def out_of_sample(evidence: Evidence) -> GateResult:
    """Judge whether the chosen sets make money after they were chosen, by more than chance."""
    result = _Gate("out_of_sample", "Out of sample", "NO")
    outside = evidence.outside
    if outside is None:
        return result.skip(NO_FOLDS)
    if outside.net_usdt <= 0.0:
        text = f"{gain(outside.net_usdt)} USDT after costs over {outside.days:,} days out of sample"
        return result.fail(
            outside.net_usdt, 0.0, "USDT", text, "different rules: more data will not turn a loss into an edge"
        )
    if outside.lower is None or outside.upper is None:
        text = f"{gain(outside.net_usdt)} USDT out of sample, but without a confidence interval: {outside.why}"
        return result.skip(text, outside.why if "pip install" in outside.why else "")
    lower, upper = 100.0 * outside.lower, 100.0 * outside.upper
    text = (
        f"{gain(outside.net_usdt)} USDT after costs; the mean daily return is between {lower:+.3f} % and {upper:+.3f} %"
        " (90 % interval), and the lower end must be above 0"
    )
    if lower <= 0.0:
        middle = (upper + lower) / 2.0
        days = ceil(outside.days * (((upper - lower) / 2.0 / middle) ** 2 - 1.0)) if middle > 0.0 else None
        change = f"about {days:,} more days like these" if days and days <= 10_000 else "a steadier result"
        return result.fail(lower, 0.0, "% a day", text, change)
    return result.passed(lower, 0.0, "% a day", text)


def deflated(evidence: Evidence) -> GateResult:
    """Judge whether the chosen set is better than the best of all sets tried would be by luck."""
    result = _Gate("deflated", "Better than luck", "NO")
    sharpe, variance, count = evidence.trials.sharpe, evidence.trials.variance, evidence.trials.count
    if sharpe is None:
        return result.skip("no set has a Sharpe ratio over the whole period")
    benchmark = 0.0 if count == 1 else luck_benchmark(variance, count)
    if benchmark is None:
        return result.skip("all sets have the same Sharpe ratio, so what luck alone would reach cannot be estimated")
    found = probabilistic_sharpe(sharpe) if count == 1 else deflated_sharpe(sharpe, variance, count)
    if found is None:
        return result.skip("the daily returns of the chosen set are too uneven for a deflated Sharpe ratio")
    tried = (
        f"the best of {count:,} sets tried would reach {_annual(benchmark)} by luck alone"
        if count > 1
        else "it is the only set ever tried"
    )
    text = (
        f"the Sharpe ratio of the chosen set is {_annual(sharpe.ratio)}; {tried}; the probability that it is more than"
        f" luck is {_share(found)} (at least {_share(CONFIDENCE)} needed)"
    )
    if found < CONFIDENCE:
        margin = NormalDist().inv_cdf(CONFIDENCE) * sqrt(sharpe.variance_factor / (sharpe.days - 1))
        change = f"a Sharpe ratio of about {_annual(benchmark + margin)} over these {sharpe.days:,} days, or more days"
        return result.fail(100.0 * found, 100.0 * CONFIDENCE, PERCENT, text, change)
    return result.passed(100.0 * found, 100.0 * CONFIDENCE, PERCENT, text)


def overfitting(evidence: Evidence) -> GateResult:
    """Judge whether the best set on half of the days is among the better sets on the other half."""
    result, family = _Gate("overfitting", "Overfitting", "NO"), evidence.family
    if family.overfitting is None:
        return result.skip(family.overfitting_why, "vary a parameter" if family.sets == 1 else "")
    tail = (
        f"; slope of out-of-sample on in-sample Sharpe ratios {family.slope:+.2f}" if family.slope is not None else ""
    )
    text = (
        f"in {_share(family.overfitting)} of {family.splits:,} ways to halve the days (at most"
        f" {_share(OVERFITTING_MAX)}), the best set of one half was below the median in the other half{tail}"
    )
    if family.overfitting > OVERFITTING_MAX:
        change = "fewer parameters, coarser steps, or more days: the best set changes with the days it is chosen on"
        return result.fail(100.0 * family.overfitting, 100.0 * OVERFITTING_MAX, PERCENT, text, change)
    return result.passed(100.0 * family.overfitting, 100.0 * OVERFITTING_MAX, PERCENT, text)


def family_wise(evidence: Evidence) -> GateResult:
    """Judge whether the best of all sets beats cash by more than chance."""
    result, family = _Gate("family", "Against all sets", "NO"), evidence.family
    if family.p_value is None:
        return result.skip(family.family_why, family.family_why if "pip install" in family.family_why else "")
    text = (
        f"the best of {family.sets:,} sets without an edge would do as well with a probability of"
        f" {_p_share(family.p_value)} (at most {_share(FAMILY_LEVEL)}); {family.survivors:,}"
        f" {'set beats' if family.survivors == 1 else 'sets beat'} cash when all are judged together"
    )
    if family.p_value > FAMILY_LEVEL:
        change = "a larger edge, or more days with the same one"
        return result.fail(100.0 * family.p_value, 100.0 * FAMILY_LEVEL, PERCENT, text, change)
    return result.passed(100.0 * family.p_value, 100.0 * FAMILY_LEVEL, PERCENT, text)


def plateau(evidence: Evidence) -> GateResult:
    """Judge whether the neighbours of the chosen set make money too."""
    result, around = _Gate("plateau", "Plateau", "NO"), evidence.plateau
    if evidence.outside is None or around is None:
        if evidence.outside is None or evidence.trials.sharpe is None:
            return result.skip(NO_FOLDS if evidence.outside is None else "no set was chosen")
        return result.skip("the chosen set has no neighbours", "vary its parameters in steps")
    limit = NEIGHBOUR_TO_CHOSEN_MIN * around.chosen_usdt
    text = (
        f"{_share(around.profitable_share)} of {around.neighbours:,} neighbours make money out of sample (at least"
        f" {_share(PROFITABLE_NEIGHBOURS_MIN)} needed); their median is {gain(around.median_usdt)} USDT (at least half"
        f" of the chosen set's {gain(around.chosen_usdt)} USDT needed)"
    )
    change = "a set in the middle of a region that makes money, or finer steps around this one"
    share, share_min = 100.0 * around.profitable_share, 100.0 * PROFITABLE_NEIGHBOURS_MIN
    if around.profitable_share < PROFITABLE_NEIGHBOURS_MIN or around.chosen_usdt <= 0.0:
        return result.fail(share, share_min, "% of neighbours", text, change)
    if around.median_usdt < limit:
        return result.fail(around.median_usdt, limit, "USDT", text, change)
    return result.passed(share, share_min, "% of neighbours", text)


def stress(evidence: Evidence) -> GateResult:
    """Judge whether the result survives higher costs and an unlucky order of trades."""
    result, found = _Gate("stress", "Stress", "BET SMALL"), evidence.stress
    if found is None or found.net_usdt is None or found.drawdown_95 is None:
        return result.skip(found.why if found is not None and found.why else NO_FOLDS)
    text = (
        f"{gain(found.net_usdt)} USDT with fees x1.5 and slippage x2; in 95 % of 2,000 shuffles of the trades the"
        f" largest drawdown stays below {_share(found.drawdown_95)} (session limit {_share(found.session_loss)})"
    )
    if found.net_usdt <= 0.0:
        return result.fail(
            found.net_usdt, 0.0, "USDT", text, "an edge that survives higher costs: fewer, larger trades"
        )
    if found.drawdown_95 >= found.session_loss:
        smaller = found.risk_percent * found.session_loss / found.drawdown_95
        change = (
            f"max_risk_per_trade_percent of about {smaller:.2g} instead of {found.risk_percent:g}, or"
            f" max_session_loss_percent of {ceil(100.0 * found.drawdown_95)}"
        )
        return result.fail(100.0 * found.drawdown_95, 100.0 * found.session_loss, "% drawdown", text, change)
    return result.passed(100.0 * found.drawdown_95, 100.0 * found.session_loss, "% drawdown", text)


def _share(fraction: float) -> str:
    return percent(100.0 * fraction)


def _p_share(p_value: float) -> str:
    """Format a probability that was counted in draws."""
    return _share(p_value) if p_value >= P_MIN else f"less than {_share(P_MIN)}"


def _annual(ratio_per_day: float) -> str:
    return f"{ratio_per_day * sqrt(YEAR_DAYS):.2f}"


GATES: Final[tuple[Callable[[Evidence], GateResult], ...]] = (
    enough_data,
    costs,
    out_of_sample,
    deflated,
    overfitting,
    family_wise,
    plateau,
    stress,
)
