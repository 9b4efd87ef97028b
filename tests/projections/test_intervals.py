"""Confidence intervals against known values."""

from __future__ import annotations

import subprocess
import sys
from math import fsum, sqrt
from random import Random
from statistics import stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papertape.projections.folds.intervals import (
    BOOTSTRAP_RESAMPLES,
    BOOTSTRAP_TRADES_MAX,
    Interval,
    RunningMean,
    _draw,
    bootstrap_interval,
    student_quantile,
    wilson_interval,
)


def running(values: list[float]) -> RunningMean:
    mean = RunningMean()
    for value in values:
        mean.add(value)
    return mean


def mean_interval(values: list[float]) -> Interval | None:
    return running(values).interval()


def student_interval(values: list[float]) -> Interval:
    return running(values).student_interval()


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(5, 10, 0.2366, 0.7634), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (1, 1, 0.2065, 1.0)],
)
def test_wilsons_interval_has_its_published_values(successes: int, n: int, low: float, high: float) -> None:
    found = wilson_interval(successes, n)
    assert found is not None
    assert found.low == pytest.approx(low, abs=5e-5)
    assert found.high == pytest.approx(high, abs=5e-5)


def test_no_trades_have_no_interval() -> None:
    assert wilson_interval(0, 0) is None
    assert mean_interval([]) is None
    assert mean_interval([1.0]) is None


@pytest.mark.parametrize(("freedom", "quantile"), [(20, 2.085963), (30, 2.042272), (60, 2.000298), (1_000, 1.962339)])
def test_students_quantile_has_its_published_values(freedom: int, quantile: float) -> None:
    assert student_quantile(freedom) == pytest.approx(quantile, abs=1e-4)


def test_equal_values_have_an_interval_of_no_width() -> None:
    assert mean_interval([0.0] * 5) == Interval(0.0, 0.0)
    found = mean_interval([2.5] * 5)
    assert found is not None
    assert found.low == pytest.approx(2.5) == found.high


def test_the_bootstrap_agrees_with_student_on_plain_values() -> None:
    draw = Random(7)
    values = [draw.gauss(1.0, 2.0) for _ in range(BOOTSTRAP_TRADES_MAX)]
    by_resampling, by_formula = bootstrap_interval(values), student_interval(values)
    assert by_resampling.low == pytest.approx(by_formula.low, abs=0.1)
    assert by_resampling.high == pytest.approx(by_formula.high, abs=0.1)


def test_beyond_the_bound_students_interval_is_used() -> None:
    values = [float(i % 7) for i in range(BOOTSTRAP_TRADES_MAX + 1)]
    assert mean_interval(values) == student_interval(values)
    assert mean_interval(values[1:]) == bootstrap_interval(values[1:])


def test_the_bootstrap_is_the_same_in_another_process() -> None:
    values = [1.5 * i % 7.3 for i in range(40)]
    program = "from papertape.projections.folds.intervals import bootstrap_interval as b"
    script = f"{program}; i = b({values}); print(i.low, i.high)"
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    found = bootstrap_interval(values)
    assert other.stdout.split() == [str(found.low), str(found.high)]


@pytest.mark.parametrize("n", [2, 3, 7, 30, BOOTSTRAP_TRADES_MAX])
def test_the_draws_are_sufficient_and_uniform(n: int) -> None:
    count = n * BOOTSTRAP_RESAMPLES
    drawn = _draw(n, count)[:count]
    assert len(drawn) == count
    assert max(drawn) == n - 1
    assert all(abs(drawn.count(i) / BOOTSTRAP_RESAMPLES - 1.0) < 0.05 for i in range(n))


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=200))
def test_the_deviations_that_are_kept_are_those_of_all_values(values: list[float]) -> None:
    found, n = running(values), len(values)
    assert found.mean == fsum(values) / n
    assert sqrt(found.squares / (n - 1)) == pytest.approx(stdev(values), rel=1e-9, abs=1e-6)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=12))
def test_an_interval_lies_within_the_values(values: list[float]) -> None:
    found = mean_interval(values)
    slack = 1e-9 * max(1.0, *map(abs, values))
    assert found is not None
    assert min(values) - slack <= found.low <= found.high <= max(values) + slack
