"""Every measure: a worked example, and the cases in which it is undefined."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papertape.projections.folds import metrics
from papertape.projections.folds.metrics import ExactSum
from papertape.projections.folds.performance import TradeFigures, trade_figures
from tests.build import trade

DAY_MS = 86_400_000
MIXED = [10.0, -5.0, 0.0, 20.0, -5.0]


def figures(*nets: float) -> TradeFigures:
    return trade_figures(map(trade, nets))


def test_win_rate_keeps_flat_trades_in_the_count() -> None:
    assert [figures(*nets).win_rate_percent for nets in (MIXED, [1.0], [0.0], [])] == [40.0, 100.0, 0.0, None]


def test_profit_factor_is_not_defined_without_losses_and_says_why() -> None:
    assert [figures(*nets).profit_factor for nets in (MIXED, [-1.0], [1.0], [])] == [3.0, 0.0, None, None]
    assert [figures(*nets).no_losses for nets in (MIXED, [1.0], [0.0], [])] == [False, True, True, False]


def test_payoff_needs_both_sides() -> None:
    found = figures(*MIXED)
    assert (found.average_win_usdt, found.average_loss_usdt, found.payoff) == (15.0, -5.0, 3.0)
    assert [figures(*nets).payoff for nets in ([1.0], [-1.0], [])] == [None] * 3


def test_expectancy_is_the_mean_and_equals_the_weighted_sides() -> None:
    rate, lost = 2 / 5, 2 / 5
    assert figures(*MIXED).expectancy_usdt == 4.0 == pytest.approx(rate * 15.0 - lost * 5.0)
    assert figures().expectancy_usdt is None


def test_the_longest_loss_run_is_ended_by_a_flat_trade() -> None:
    runs = [[-1.0, 5.0, -1.0, -1.0, -1.0], [-1.0, -1.0, 0.0, -1.0], [1.0], []]
    assert [figures(*nets).longest_loss_run for nets in runs] == [3, 2, 0, 0]


@given(st.lists(st.floats(-1e100, 1e100)))
def test_a_running_sum_is_exact_after_every_value(values: list[float]) -> None:
    total = ExactSum()
    for number, value in enumerate(values, start=1):
        total.add(value)
        assert total.value == math.fsum(values[:number])


def test_net_return() -> None:
    assert metrics.net_return(10_000.0, 10_500.0) == pytest.approx(0.05)
    assert metrics.net_return(0.0, 10.0) == 0.0


def test_the_first_days_return_starts_at_the_capital() -> None:
    assert metrics.daily_returns(100.0, [110.0, 99.0, 99.0]) == [pytest.approx(0.1), pytest.approx(-0.1), 0.0]
    assert metrics.daily_returns(100.0, []) == []


def test_a_day_after_ruin_has_a_return_of_zero() -> None:
    assert metrics.daily_returns(100.0, [0.0, 50.0]) == [-1.0, 0.0]


def test_sharpe_by_hand() -> None:
    # Mean 0.01, deviations 0.01 and -0.01, ddof 1: s = 0.01*sqrt(2).
    assert metrics.sharpe([0.02, 0.0]) == pytest.approx(0.01 / (0.01 * math.sqrt(2.0)) * math.sqrt(365.0))
    assert metrics.sharpe([0.02, 0.0], risk_free=3.65) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("returns", [[], [0.01], [0.0, 0.0], [0.01] * 30, [0.1] * 7])
def test_sharpe_is_not_defined_without_spread(returns: list[float]) -> None:
    assert metrics.sharpe(returns) is None


def test_rounding_noise_is_no_spread() -> None:
    steady = [100.0 * 1.01**day for day in range(1, 40)]
    assert len(set(metrics.daily_returns(100.0, steady))) > 1
    assert metrics.sharpe(metrics.daily_returns(100.0, steady)) is None


def test_sortino_divides_by_all_days() -> None:
    # Mean 0.005, downside sqrt(0.01^2 / 2).
    expected = 0.005 / math.sqrt(0.0001 / 2.0) * math.sqrt(365.0)
    assert metrics.sortino([0.02, -0.01]) == pytest.approx(expected)


@pytest.mark.parametrize("returns", [[], [0.01, 0.02], [0.0, 0.0]])
def test_sortino_is_not_defined_without_a_day_below(returns: list[float]) -> None:
    assert metrics.sortino(returns) is None


def test_cagr_extrapolates_to_a_year() -> None:
    assert metrics.cagr(100.0, 121.0, 730.0) == pytest.approx(0.1)
    assert metrics.cagr(100.0, 110.0, 182.5) == pytest.approx(0.21)
    assert metrics.cagr(100.0, 110.0, 0.99) is None
    assert metrics.cagr(100.0, -1.0, 10.0) == -1.0
    assert metrics.cagr(100.0, 100_000.0, 1.0) is None


def test_calmar_needs_a_drawdown_and_a_cagr() -> None:
    assert metrics.calmar(0.2, 0.1) == 2.0
    assert metrics.calmar(0.2, 0.0) is None
    assert metrics.calmar(None, 0.1) is None


def test_exposure_counts_overlapping_positions_once() -> None:
    assert metrics.exposure([(0, 20), (10, 30), (50, 60), (52, 55)], 0, 100) == pytest.approx(0.4)
    assert metrics.exposure([], 0, 100) == 0.0
    assert metrics.exposure([(0, 10)], 5, 5) == 0.0
    assert metrics.exposure([(-50, 200)], 0, 100) == 1.0


def test_turnover_and_share() -> None:
    assert metrics.turnover(30_000.0, [9_000.0, 11_000.0]) == 3.0
    assert metrics.turnover(30_000.0, []) is None
    assert metrics.share(1, 4) == 0.25
    assert metrics.share(0, 0) is None
    assert metrics.days_between(0, 36 * 3_600_000) == 1.5
