"""What chance explains, by the bootstraps of `arch`: the interval of the mean day, and the best of a family of sets.

Without arch every result is undefined and says which extra brings it. Sources: White, "A Reality Check for Data
Snooping" (2000); Hansen, "A Test for Superior Predictive Ability" (2005); Romano & Wolf (2005); Politis & Romano, "The
Stationary Bootstrap" (1994); Patton, Politis & White (2009).
"""

from __future__ import annotations

from math import isfinite
from typing import Any

import numpy as np
from msgspec import Struct

from papertape.projections.folds.metrics import NOISE

DAYS_MIN = 10
REPETITIONS = 1_000
INTERVAL_REPETITIONS = 2_000
NEEDS_ARCH = "needs arch: pip install 'papertape[study]'"


class MeanInterval(Struct, frozen=True):
    """The interval of the mean day and the mean length of the blocks it was drawn in; `why` if it is not defined."""

    lower: float | None = None
    upper: float | None = None
    block_days: float | None = None
    why: str = ""


class FamilyTest(Struct, frozen=True):
    """The probability that the best of sets without any edge looks this good, and the columns that survive.

    `why` says why they are not defined.
    """

    p_value: float | None = None
    survivors: tuple[int, ...] = ()
    why: str = ""


def mean_interval(returns: Any, size: float = 0.9, seed: int = 0) -> MeanInterval:
    """Return the stationary bootstrap interval of the mean of daily returns, with the best length of blocks."""
    if len(returns) < DAYS_MIN:
        return MeanInterval(why=f"{len(returns)} days are too few for a bootstrap, it needs {DAYS_MIN}")
    days = np.asarray(returns, float)
    if np.ptp(days) <= NOISE:
        return MeanInterval(why="all days earned the same")
    try:
        from arch.bootstrap import StationaryBootstrap, optimal_block_length  # noqa: PLC0415 - belongs to an extra
    except ImportError:
        return MeanInterval(why=NEEDS_ARCH)
    with np.errstate(all="ignore"):  # On a few days it divides by zero, and its answer is no number.
        best = float(optimal_block_length(days)["stationary"].iloc[0])
    block_days = max(1.0, best) if isfinite(best) else 1.0
    drawn = StationaryBootstrap(block_days, days, seed=seed)
    lower, upper = drawn.conf_int(np.mean, INTERVAL_REPETITIONS, method="percentile", size=size)[:, 0]
    return MeanInterval(float(lower), float(upper), block_days)


def family_test(returns: Any, level: float = 0.05, repetitions: int = REPETITIONS, seed: int = 0) -> FamilyTest:
    """Test whether any column of a matrix of daily returns beats cash: Hansen's consistent p value, and who survives.

    A column that never moved cannot beat cash and takes no part. The survivors are those of the step-down test.
    """
    if len(returns) < DAYS_MIN:
        return FamilyTest(why=f"{len(returns)} days are too few for a bootstrap, it needs {DAYS_MIN}")
    moving = np.flatnonzero(np.ptp(returns, axis=0) > NOISE)
    if not len(moving):
        return FamilyTest(why="no set moved")
    try:
        from arch.bootstrap import SPA  # noqa: PLC0415 - belongs to an extra
    except ImportError:
        return FamilyTest(why=NEEDS_ARCH)
    losses = -np.asarray(returns, float)[:, moving]
    test = SPA(np.zeros(len(losses)), losses, reps=repetitions, seed=seed)
    test.compute()
    p_value = float(test.pvalues["consistent"])
    return FamilyTest(p_value, tuple(int(column) for column in moving[_survivors(test, len(moving), level)]))


def _survivors(test: Any, count: int, level: float) -> Any:
    """Return the columns that beat the benchmark: step by step, without those that already did.

    `arch.bootstrap.StepM` does the same, but draws again, and fails where every column beats the benchmark.
    """
    remaining = np.ones(count, bool)
    while remaining.any():
        test.subset(remaining)
        test.compute()
        better = test.better_models(level)
        if not len(better):
            break
        remaining[better] = False
    return np.flatnonzero(~remaining)
