"""How far a Sharpe ratio can be trusted: its length, its shape, and how many sets were tried before it.

Sharpe ratios are per day here, not annualised. Sources: Bailey & Lopez de Prado, "The Sharpe Ratio Efficient Frontier"
(2012) and "The Deflated Sharpe Ratio" (2014); Bailey, Borwein, Lopez de Prado & Zhu, "Pseudo-Mathematics and Financial
Charlatanism" (2014).
"""

from __future__ import annotations

from math import e, fsum, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.projections.folds.metrics import NOISE

if TYPE_CHECKING:
    from collections.abc import Sequence

EULER_MASCHERONI = 0.5772156649015329
_NORMAL = NormalDist()


class SharpeRatio(Struct, frozen=True):
    """The Sharpe ratio of `days` daily returns, and the shape of their distribution (normal: 0 and 3)."""

    ratio: float
    days: int
    skewness: float = 0.0
    kurtosis: float = 3.0

    @property
    def variance_factor(self) -> float:
        """The variance of the estimated ratio times days - 1; not above zero for a shape no distribution has."""
        return 1.0 - self.skewness * self.ratio + (self.kurtosis - 1.0) / 4.0 * self.ratio * self.ratio


def sharpe_ratio(returns: Sequence[float]) -> SharpeRatio | None:
    """Return the ratio and shape of daily returns; None for fewer than 2, or without spread."""
    days = len(returns)
    if days < 2:
        return None
    mean = fsum(returns) / days
    squares = fsum((x - mean) ** 2 for x in returns)
    spread = sqrt(squares / (days - 1))
    if spread <= NOISE * abs(mean):
        return None
    deviation = sqrt(squares / days)
    skewness = fsum(((x - mean) / deviation) ** 3 for x in returns) / days
    kurtosis = fsum(((x - mean) / deviation) ** 4 for x in returns) / days
    return SharpeRatio(mean / spread, days, skewness, kurtosis)


def probabilistic_sharpe(sharpe: SharpeRatio, benchmark: float = 0.0) -> float | None:
    """Return the probability that the true ratio is above the benchmark; None where it is not defined."""
    if sharpe.days < 2 or sharpe.variance_factor <= 0.0:
        return None
    return _NORMAL.cdf((sharpe.ratio - benchmark) * sqrt(sharpe.days - 1) / sqrt(sharpe.variance_factor))


def expected_maximum(trials: int) -> float | None:
    """Return the expected best of `trials` standard normal numbers; None for fewer than 2."""
    if trials < 2:
        return None
    last, further = _NORMAL.inv_cdf(1.0 - 1.0 / trials), _NORMAL.inv_cdf(1.0 - 1.0 / (trials * e))
    return (1.0 - EULER_MASCHERONI) * last + EULER_MASCHERONI * further


def luck_benchmark(variance: float, trials: int) -> float | None:
    """Return the best ratio that luck alone finds in so many trials whose ratios have this variance.

    None for fewer than 2 trials, and without variance: sets that are all equal are one trial.
    """
    best = expected_maximum(trials)
    return sqrt(variance) * best if best is not None and variance > 0.0 else None


def deflated_sharpe(sharpe: SharpeRatio, variance: float, trials: int) -> float | None:
    """Return the probability that the ratio is above what luck finds in so many trials; None where undefined."""
    benchmark = luck_benchmark(variance, trials)
    return probabilistic_sharpe(sharpe, benchmark) if benchmark is not None else None


def minimum_track_record(sharpe: SharpeRatio, benchmark: float = 0.0, confidence: float = 0.95) -> float | None:
    """Return the days after which the ratio would be above the benchmark with this confidence.

    None if it is not above the benchmark: then no length of time shows that it is.
    """
    if sharpe.ratio <= benchmark or sharpe.variance_factor <= 0.0:
        return None
    return 1.0 + sharpe.variance_factor * (_NORMAL.inv_cdf(confidence) / (sharpe.ratio - benchmark)) ** 2


def minimum_backtest_length(trials: int, sharpe_per_year: float) -> float | None:
    """Return the years below which luck alone is expected to find this ratio; None if undefined."""
    best = expected_maximum(trials)
    return (best / sharpe_per_year) ** 2 if best is not None and sharpe_per_year > 0.0 else None


def ratio_variance(ratios: Sequence[float]) -> float:
    """Return the variance of the ratios of sets, 0 for fewer than two, and where only rounding tells them apart."""
    if len(ratios) < 2:
        return 0.0
    mean = fsum(ratios) / len(ratios)
    variance = fsum((ratio - mean) ** 2 for ratio in ratios) / (len(ratios) - 1)
    return variance if sqrt(variance) > NOISE * max(1.0, abs(mean)) else 0.0
