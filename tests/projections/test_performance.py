"""All measures together: no trades, one, only winners, constant equity, a worked example."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from papertape.events.units import DAY_MS, HOUR_MS
from papertape.projections.folds.performance import Performance, performance
from tests.build import DAY_0_MS, trade

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.projections.folds.trades import TradeView


def measure(trades: Sequence[TradeView], days: Sequence[float], max_drawdown: float = 0.0) -> Performance:
    return performance(
        trades,
        days,
        10_000.0,
        days[-1] if days else 10_000.0,
        max_drawdown,
        longest_drawdown_ms=0,
        from_ms=DAY_0_MS,
        until_ms=DAY_0_MS + len(days) * DAY_MS,
    )


def test_without_trades_nothing_is_defined_and_nothing_is_wrong() -> None:
    found = measure([], [10_000.0, 10_000.0])
    undefined = (
        found.win_rate_percent, found.win_rate_low_percent, found.profit_factor, found.payoff, found.expectancy_usdt,
        found.expectancy_low_usdt, found.expectancy_r, found.sharpe, found.sortino, found.calmar, found.best_usdt,
        found.mean_holding_ms, found.ambiguous_percent,
    )  # fmt: skip
    assert set(undefined) == {None}
    assert (found.trades, found.few_trades, found.no_losses) == (0, True, False)
    assert (found.net_return_percent, found.max_drawdown_percent, found.cagr_percent) == (0.0, 0.0, 0.0)
    assert (found.exposure_percent, found.longest_loss_run, found.turnover) == (0.0, 0, 0.0)


def test_before_any_candle_even_time_is_not_defined() -> None:
    found = measure([], [])
    assert (found.cagr_percent, found.turnover, found.sharpe, found.days) == (None, None, None, 0.0)


def test_one_trade_has_a_mean_but_no_interval_of_it() -> None:
    found = measure([trade(10.0)], [10_010.0])
    assert (found.expectancy_usdt, found.expectancy_r, found.win_rate_percent) == (10.0, 5.0, 100.0)
    assert (found.expectancy_low_usdt, found.expectancy_high_r) == (None, None)
    assert found.win_rate_low_percent == pytest.approx(20.65, abs=0.01)
    assert (found.best_usdt, found.worst_usdt) == (10.0, 10.0)


def test_only_winners_have_no_profit_factor_and_say_so() -> None:
    found = measure([trade(10.0), trade(5.0)], [10_015.0])
    assert (found.profit_factor, found.payoff, found.no_losses) == (None, None, True)
    assert found.average_win_usdt == 7.5


def test_a_worked_example() -> None:
    trades = [trade(10.0), trade(-5.0), trade(20.0, ambiguous=True), trade(-5.0)]
    found = measure(trades, [10_010.0, 10_005.0, 10_020.0], max_drawdown=0.001)
    assert (found.trades, found.wins, found.losses, found.win_rate_percent) == (4, 2, 2, 50.0)
    assert (found.profit_factor, found.payoff, found.expectancy_usdt, found.net_usdt) == (3.0, 3.0, 5.0, 20.0)
    assert found.expectancy_low_usdt is not None
    assert found.expectancy_high_usdt is not None
    assert found.expectancy_low_usdt < 5.0 < found.expectancy_high_usdt
    assert (found.ambiguous_percent, found.longest_loss_run, found.mean_holding_ms) == (25.0, 1, float(HOUR_MS))
    assert found.net_return_percent == pytest.approx(0.2)
    assert found.fees_usdt == pytest.approx(0.48)
    assert found.slippage_usdt == pytest.approx(0.4)
    assert found.exposure_percent == pytest.approx(100.0 / 72.0)
    assert found.calmar is not None
    assert found.cagr_percent is not None
    assert found.calmar == pytest.approx(found.cagr_percent / 0.1)
    assert (found.extrapolated, found.few_days, found.few_trades) == (True, True, True)


def test_flags_are_cleared_with_enough_data() -> None:
    found = measure([trade(1.0)] * 30, [10_000.0 + i for i in range(120)])
    assert (found.few_trades, found.few_days, found.extrapolated) == (False, False, False)


def test_an_open_position_counts_as_exposure() -> None:
    found = performance(
        [], [10_000.0], 10_000.0, 10_000.0, 0.0,
        longest_drawdown_ms=0, from_ms=0, until_ms=1_000, open_since_ms=[750], gross_exposure_fraction=0.2,
    )  # fmt: skip
    assert (found.exposure_percent, found.gross_exposure_percent) == (25.0, 20.0)
