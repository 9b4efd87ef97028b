"""Overfitting is found where it is, and not where there is none."""

from __future__ import annotations

from time import process_time

import numpy as np
import pytest

from papertape.studies.statistics.overfitting import (
    column_ratios,
    effective_trials,
    overfitting,
    path_sharpes,
    slope,
)
from papertape.studies.statistics.plateau import plateau


def noise(seed: int, days: int = 480, sets: int = 50) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, 0.01, (days, sets))


def test_sets_without_an_edge_are_overfitted_half_of_the_time() -> None:
    found = np.array([overfitting(noise(seed), 8).probability for seed in range(60)], float)
    assert found.mean() == pytest.approx(0.477, abs=5e-4)
    assert found.std() == pytest.approx(0.176, abs=5e-4)
    assert (found.min(), found.max()) == (pytest.approx(0.1), pytest.approx(0.81, abs=5e-3))


def test_a_set_with_an_edge_stays_the_best() -> None:
    returns = noise(1)
    returns[:, 0] += 0.003
    assert overfitting(returns, 8).probability == 0.0


def test_sets_that_take_turns_are_overfitted_always() -> None:
    """In the halves of one block of each kind the two are level, which counts as overfitted."""
    day, turn = np.tile([0.02, -0.02], 5), np.repeat([0.01, -0.01, 0.01, -0.01], 10)
    days = np.tile(day, 4)
    turns = np.column_stack([days + turn, days - turn])
    assert overfitting(turns, 4).probability == 1.0


def test_a_thousand_sets_take_seconds_over_all_12870_halves() -> None:
    returns = noise(3, 274, 1_000)
    started = process_time()
    found = overfitting(returns)
    assert found.splits == 12_870
    assert process_time() - started < 10.0


def test_what_cannot_be_overfitted_says_why() -> None:
    assert "one set" in overfitting(noise(1, sets=1)).why
    assert "15 days cannot be divided into 16 blocks" in overfitting(noise(1, days=15)).why
    equal = overfitting(noise(1, sets=1).repeat(4, axis=1))
    assert equal.probability is None
    assert "all sets earned the same" in equal.why
    resting = noise(1, sets=3)
    resting[:, 2] = 0.0  # A set that never traded is a column like any other.
    assert overfitting(resting).probability is not None


def test_fifteen_combinatorial_folds_make_five_paths() -> None:
    returns = noise(2, 240, 20)
    returns[:, 4] += 0.01
    paths = path_sharpes(returns, groups=6, tests=2)
    assert len(paths) == 5
    assert paths == pytest.approx([column_ratios(returns)[4] * np.sqrt(365.0)] * 5)
    assert len(set(path_sharpes(noise(2, 240, 20)))) > 1
    assert path_sharpes(noise(2, 23, 20)) == []


def test_the_days_that_touch_a_test_choose_nothing() -> None:
    """Set 1 is the best by one day alone, the last before the second group."""
    returns = np.tile([0.01, -0.01], 20)[:, None] + np.array([0.001, -0.001])
    returns[19, 1] += 5.0
    chosen = path_sharpes(returns, groups=2, tests=1, purge_days=1)
    assert chosen != path_sharpes(returns, groups=2, tests=1, purge_days=0)


def test_the_slope_of_a_line() -> None:
    assert slope([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]) == pytest.approx(2.0)
    assert slope([1.0], [2.0]) is None
    assert slope([1.0, 1.0], [2.0, 3.0]) is None


def test_equal_sets_count_as_one_and_independent_ones_as_many() -> None:
    one = noise(1, sets=1)
    assert effective_trials(one.repeat(50, axis=1)) == pytest.approx(1.0)
    assert effective_trials(noise(1)) == pytest.approx(50.0, abs=1.0)
    shared = noise(5, 2_000, 200) * np.sqrt(0.525) + noise(6, 2_000, 1) * np.sqrt(0.475)
    assert effective_trials(shared) == pytest.approx(0.475 + 0.525 * 200, abs=6.0)
    assert effective_trials(one) is None


def test_a_plateau_has_profitable_neighbours() -> None:
    around = plateau(100.0, [80.0, 60.0, -20.0, 90.0])
    assert around is not None
    assert (around.neighbours, around.profitable_share, around.median_usdt) == (4, 0.75, 70.0)
    assert plateau(100.0, []) is None
