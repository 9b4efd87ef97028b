"""Given the results of strategies, then their ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papertape.projections.folds.arena import Arena
from papertape.projections.folds.breakdown import breakdown
from papertape.projections.folds.portfolio import Portfolio
from papertape.projections.folds.trades import Trades
from papertape.projections.host import fold
from tests.build import candle, closed, configured, funding_paid, opened, recorded, tripped

if TYPE_CHECKING:
    from papertape.events.facts import Event


def arena(*events: Event) -> Arena:
    portfolio, trades = Portfolio(), Trades()
    fold([portfolio, trades], recorded(events))
    return Arena(portfolio, trades)


def test_without_runners_the_arena_is_empty() -> None:
    assert arena().rows() == ()


def test_the_best_net_return_comes_first() -> None:
    rich, poor = configured("rich", capital_usdt=100_000.0), configured("poor", capital_usdt=1_000.0)
    rows = arena(rich, poor, candle(0, 100.0), closed(50.0, "rich"), closed(40.0, "poor")).rows()
    assert [(row.rank, row.strategy) for row in rows] == [(1, "poor"), (2, "rich")]
    assert rows[0].net_return_percent == pytest.approx(3.994)


def test_ties_are_broken_by_name() -> None:
    rows = arena(configured("b"), configured("a"), candle(0, 100.0)).rows()
    assert [row.strategy for row in rows] == ["a", "b"]


def test_an_open_position_counts_with_its_last_close() -> None:
    row = arena(configured(), candle(0, 100.0), opened(), funding_paid(-0.4), candle(1, 90.0)).rows()[0]
    assert row.equity_usdt == pytest.approx(9_989.54)
    assert (row.open_positions, row.trades, row.win_rate_percent) == (1, 0, None)
    assert (row.fees_usdt, row.funding_usdt, row.slippage_usdt) == (0.06, -0.4, 0.05)
    assert row.current_drawdown_percent == row.max_drawdown_percent == pytest.approx(0.1046)
    assert row.sparkline[0] == 10_000.0
    assert row.sparkline[-1] == row.equity_usdt


def test_a_stopped_strategy_keeps_its_rank_and_says_why() -> None:
    row = arena(configured(), candle(0, 100.0), tripped("momentum")).rows()[0]
    assert (row.rank, row.state) == (1, "stopped")
    assert "session loss" in row.why


def test_few_trades_are_marked_until_there_are_thirty() -> None:
    start = (configured(), candle(0, 100.0))
    assert arena(*start, *[closed(1.0)] * 29).rows()[0].few_trades
    assert not arena(*start, *[closed(1.0)] * 30).rows()[0].few_trades


def test_figures_follow_a_trade_that_closes_later() -> None:
    portfolio, trades = Portfolio(), Trades()
    view = Arena(portfolio, trades)
    fold([portfolio, trades], recorded((configured(), candle(0, 100.0), closed(5.0))))
    assert view.rows()[0].win_rate_percent == 100.0
    fold([portfolio, trades], recorded((closed(-5.0),), first_seq=4))
    assert view.rows()[0].win_rate_percent == 50.0


def test_performance_uses_the_same_trades_and_equity_curve() -> None:
    events = (configured(), candle(0, 100.0), opened(fee_usdt=0.0), candle(1, 110.0), closed(10.0, fee_usdt=0.0))
    view = arena(*events, candle(2 * 1_440, 100.0))
    found, row = view.performance("momentum"), view.rows()[0]
    assert (found.trades, found.win_rate_percent) == (row.trades, row.win_rate_percent)
    assert (found.end_equity_usdt, found.sharpe) == (row.equity_usdt, row.sharpe)
    assert found.days == pytest.approx(2.0 + 1 / 1_440)
    assert found.net_return_percent == pytest.approx(0.1)


@given(st.lists(st.integers(-3_000, 3_000), min_size=1, max_size=8))
def test_ranks_count_from_one_and_returns_never_rise(results: list[int]) -> None:
    names = [f"s{i}" for i in range(len(results))]
    runners = [configured(name) for name in names]
    closes = [closed(float(result), name) for name, result in zip(names, results, strict=True)]
    rows = arena(*runners, candle(0, 100.0), *closes).rows()
    assert [row.rank for row in rows] == list(range(1, len(rows) + 1))
    keys = [(-row.net_return_percent, row.strategy) for row in rows]
    assert keys == sorted(keys)
    assert {row.strategy for row in rows} == set(names)


def test_the_breakdown_follows_a_new_close() -> None:
    """The cached breakdown is recomputed after a close."""
    portfolio, trades = Portfolio(), Trades()
    found = Arena(portfolio, trades)
    for number in range(1, 4):
        fold([trades], recorded([closed(float(number))], first_seq=number))
        assert found.breakdown("momentum") == breakdown(trades.closed("momentum"))
        assert found.breakdown("momentum").trades == number
