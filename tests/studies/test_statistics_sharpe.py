"""The statistics of Sharpe ratios give the values printed by those who found them, and None where there are none."""

from __future__ import annotations

from math import sqrt

import pytest

from papertape.projections.folds.metrics import sharpe
from papertape.studies.statistics.sharpe import (
    SharpeRatio,
    deflated_sharpe,
    expected_maximum,
    luck_benchmark,
    minimum_backtest_length,
    minimum_track_record,
    probabilistic_sharpe,
    ratio_variance,
    sharpe_ratio,
)

BEST = SharpeRatio(2.5 / sqrt(250), 1250, -3.0, 10.0)


def test_the_probability_that_a_ratio_is_above_zero() -> None:
    assert probabilistic_sharpe(SharpeRatio(0.458, 24, -2.448, 10.164)) == pytest.approx(0.91336, abs=5e-6)
    assert probabilistic_sharpe(SharpeRatio(0.458, 24)) == pytest.approx(0.98167, abs=5e-6)


def test_the_best_of_many_trials_by_luck() -> None:
    assert luck_benchmark(0.5 / 250, 100) == pytest.approx(0.113172, abs=5e-7)
    assert expected_maximum(2) == pytest.approx(0.52, abs=0.01)


@pytest.mark.parametrize(
    ("ratio", "trials", "expected"),
    [(BEST, 100, 0.900397), (BEST, 46, 0.950502), (SharpeRatio(2.5 / sqrt(250), 1250), 88, 0.950491)],
)
def test_the_deflated_ratio(ratio: SharpeRatio, trials: int, expected: float) -> None:
    assert deflated_sharpe(ratio, 0.5 / 250, trials) == pytest.approx(expected, abs=5e-7)


@pytest.mark.parametrize(
    ("periods", "skewness", "kurtosis", "years"),
    [(252, 0.0, 3.0, 2.7310), (52, 0.0, 3.0, 2.8288), (12, 0.0, 3.0, 3.2398), (12, -0.72, 5.78, 4.9913)],
)
def test_the_shortest_track_record(periods: int, skewness: float, kurtosis: float, years: float) -> None:
    ratio = SharpeRatio(2.0 / sqrt(periods), 0, skewness, kurtosis)
    length = minimum_track_record(ratio, 1.0 / sqrt(periods))
    assert length is not None
    assert length / periods == pytest.approx(years, abs=5e-5)


@pytest.mark.parametrize(("trials", "years"), [(45, 4.998), (7, 1.923)])
def test_the_shortest_backtest(trials: int, years: float) -> None:
    assert minimum_backtest_length(trials, 1.0) == pytest.approx(years, abs=5e-4)


def test_the_ratio_of_a_series_is_that_of_the_metrics_and_its_shape_is_that_of_its_moments() -> None:
    returns = [0.01, -0.02, 0.04, 0.0, 0.005]
    found, annual = sharpe_ratio(returns), sharpe(returns)
    assert found is not None and annual is not None
    assert found.ratio * sqrt(365.0) == pytest.approx(annual)
    assert found.days == 5
    assert found.skewness == pytest.approx(0.436982, abs=1e-6)
    assert found.kurtosis == pytest.approx(2.433030, abs=1e-6)


def test_what_is_not_defined_is_none() -> None:
    assert sharpe_ratio([]) is None
    assert sharpe_ratio([0.01]) is None
    assert sharpe_ratio([0.01] * 30) is None  # No spread.
    assert expected_maximum(0) is None
    assert expected_maximum(1) is None  # One set: nothing was chosen.
    assert luck_benchmark(0.0, 100) is None  # All sets equal.
    assert deflated_sharpe(BEST, 0.0, 100) is None
    assert minimum_track_record(SharpeRatio(-0.1, 200)) is None
    assert minimum_track_record(SharpeRatio(0.0, 200)) is None
    assert minimum_backtest_length(1, 1.0) is None
    assert minimum_backtest_length(100, 0.0) is None
    impossible = SharpeRatio(1.0, 10, skewness=9.0, kurtosis=3.0)
    assert probabilistic_sharpe(impossible) is None
    assert minimum_track_record(impossible) is None


def test_sets_that_differ_by_rounding_alone_have_no_variance() -> None:
    assert ratio_variance([]) == 0.0
    assert ratio_variance([0.1]) == 0.0
    assert ratio_variance([0.1, 0.1 + 1e-17, 0.1]) == 0.0
    assert ratio_variance([0.1, 0.3]) == pytest.approx(0.02)
