"""Whether the best set in one part of the days stays good in the others. Needs numpy.

Returns are matrices: one row a day, one column a set. Sources: Bailey, Borwein, Lopez de Prado & Zhu, "The Probability
of Backtest Overfitting" (2014); Lopez de Prado, "Advances in Financial Machine Learning" (2018), chapter 12.
"""

from __future__ import annotations

from itertools import combinations
from math import sqrt
from typing import Any

import numpy as np
from msgspec import Struct

from papertape.projections.folds.metrics import NOISE, YEAR_DAYS

BLOCKS = 16
CELLS_MAX = 2_000_000
"""Splits times sets that are looked at together: bounds the memory."""


class Overfitting(Struct, frozen=True):
    """The probability of backtest overfitting, and the slope of the best set's ratio out of sample on that in sample.

    `why` says why they are not defined.
    """

    probability: float | None = None
    slope: float | None = None
    splits: int = 0
    why: str = ""


def overfitting(returns: Any, blocks: int = BLOCKS) -> Overfitting:
    """Return how often the best set of one half of the blocks is in the worse half of the sets in the other blocks.

    Every way to halve the blocks counts: 12,870 for 16 blocks. `blocks` is even.
    """
    days, sets = returns.shape
    if sets < 2:
        return Overfitting(why="one set: nothing was chosen, so nothing can be overfitted")
    if days < blocks:
        return Overfitting(why=f"{days} days cannot be divided into {blocks} blocks")
    if are_equal(returns):
        return Overfitting(why="all sets earned the same, so there was nothing to choose")
    halves = list(combinations(range(blocks), blocks // 2))
    inside = np.zeros((len(halves), blocks))
    inside[np.arange(len(halves))[:, None], halves] = 1.0
    totals = _totals(returns, blocks)
    step = max(1, CELLS_MAX // sets)
    parts = [_best_sets(inside[first : first + step], totals) for first in range(0, len(halves), step)]
    ranks, won, kept = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Overfitting(float((ranks <= 0.5).mean()), slope(won, kept), len(halves))


def are_equal(returns: Any) -> bool:
    """Return whether all sets earned the same every day."""
    return bool((np.ptp(returns, axis=1) <= NOISE).all())


def _totals(returns: Any, blocks: int) -> tuple[Any, Any, Any]:
    """Return the days of every block, and the sums of returns and of their squares by block and set."""
    parts = np.array_split(returns, blocks)
    days = np.array([len(part) for part in parts], float)
    return days, np.array([part.sum(axis=0) for part in parts]), np.array([(part * part).sum(axis=0) for part in parts])


def _best_sets(inside: Any, totals: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
    """Return by split the relative rank out of sample of the set that is best in sample, and its two ratios."""
    won, lost = _ratios(inside, *totals), _ratios(1.0 - inside, *totals)
    best, rows = won.argmax(axis=1), np.arange(len(inside))
    kept = lost[rows, best]
    ranks = (lost < kept[:, None]).sum(axis=1) + ((lost == kept[:, None]).sum(axis=1) + 1) / 2.0
    return ranks / (lost.shape[1] + 1), won[rows, best], kept


def _ratios(chosen: Any, days: Any, sums: Any, squares: Any) -> Any:
    """Return the Sharpe ratio a day of every set over the blocks of every split; 0 for a set that did nothing."""
    count = (chosen @ days)[:, None]
    mean = chosen @ sums / count
    variance = (chosen @ squares - count * mean * mean) / (count - 1.0)
    moved = variance > NOISE * NOISE
    return np.divide(mean, np.sqrt(variance, where=moved, out=np.ones_like(mean)), where=moved, out=np.zeros_like(mean))


def slope(inside: Any, outside: Any) -> float | None:
    """Return the slope of the straight line through the points by least squares; None without spread."""
    x: Any = np.asarray(inside, float)
    if len(x) < 2 or float(np.ptp(x)) <= NOISE:
        return None
    x = x - x.mean()
    return float(x @ np.asarray(outside, float) / (x @ x))


def path_sharpes(returns: Any, groups: int = 6, tests: int = 2, purge_days: int = 1) -> list[float]:
    """Return the annualised Sharpe ratio of every path of combinatorial folds; 15 folds and 5 paths for 6 and 2.

    The days are cut into groups; every choice of `tests` of them is a fold that chooses the best set in the other days,
    without the `purge_days` that touch a test. A path joins one test of every group. Empty for fewer than 4 days a
    group.
    """
    days = len(returns)
    if days < 4 * groups:
        return []
    bounds = [days * k // groups for k in range(groups + 1)]
    path_days: list[list[Any]] = [[] for _ in range(groups)]
    for tested in combinations(range(groups), tests):
        trains = np.ones(days, bool)
        for group in tested:
            trains[max(0, bounds[group] - purge_days) : bounds[group + 1] + purge_days] = False
        if trains.sum() < 2:
            return []
        best = column_ratios(returns[trains]).argmax()
        for group in tested:
            path_days[group].append(returns[bounds[group] : bounds[group + 1], best])
    paths = [np.concatenate(parts) for parts in zip(*path_days, strict=True)]
    return [float(ratio) * sqrt(YEAR_DAYS) for ratio in column_ratios(np.column_stack(paths))]


def column_ratios(returns: Any) -> Any:
    """Return the Sharpe ratio a day of every column; 0 for one without spread."""
    spread = returns.std(axis=0, ddof=1)
    moved = spread > NOISE
    return np.divide(returns.mean(axis=0), spread, where=moved, out=np.zeros(returns.shape[1]))


def effective_trials(returns: Any) -> float | None:
    """Return how many independent sets would be as different as these, from their mean correlation r: r + (1 - r) N.

    For information only: other definitions differ widely. None without two sets that moved.
    """
    moving = returns[:, returns.std(axis=0) > NOISE]
    days, sets = len(moving), int(moving.shape[1])
    if sets < 2 or days < 2:
        return None
    scaled = (moving - moving.mean(axis=0)) / moving.std(axis=0)
    total = scaled.sum(axis=1)
    correlation = float((total @ total / days - sets) / (sets * (sets - 1)))
    return correlation + (1.0 - correlation) * sets
