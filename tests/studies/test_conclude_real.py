"""Conclusions from real backtests: what the future holds changes no choice, and a planted edge is found."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from papertape.engine.research.set_result import TradedSpan
from papertape.engine.research.trial_market import with_noise_from
from papertape.projections.folds.metrics import daily_returns, sharpe
from papertape.studies.conclude import conclude
from papertape.studies.joined import yardsticks
from papertape.studies.walk import choose_in
from tests.studies.real_study import RISK, RealStudy, market_with_jumps

if TYPE_CHECKING:
    from papertape.projections.studies.document import Document
    from papertape.studies.folds import Fold


@pytest.fixture(scope="module")
def study() -> RealStudy:
    """Six sets over twenty days on which falls are taken back."""
    return RealStudy(market_with_jumps(20, 1.0))


@pytest.fixture(scope="module")
def folds(study: RealStudy) -> list[Fold]:
    """Two folds of eight days and five."""
    return study.folds(8, 5)


@pytest.fixture(scope="module")
def document(study: RealStudy, folds: list[Fold]) -> Document:
    """What the study concludes."""
    return conclude(study, folds, study.context())


def test_the_record_out_of_sample_is_that_of_the_sweep(study: RealStudy, folds: list[Fold], document: Document) -> None:
    for fold, shown in zip(folds, document.folds, strict=True):
        assert shown.chosen_set is not None
        number, result, ratio = study.rows(study.spans[fold.test])[shown.chosen_set]
        assert number == shown.chosen_set
        assert shown.test_net_usdt == result.end_equity_usdt - RISK.capital_usdt
        assert (shown.test_trades, shown.test_sharpe) == (result.trades, ratio)
    results = [
        study.rows(study.spans[fold.test])[shown.chosen_set or 0][1]
        for fold, shown in zip(folds, document.folds, strict=True)
    ]
    costs = document.costs
    assert costs.fees_usdt == pytest.approx(sum(result.fees_usdt for result in results))
    assert costs.slippage_usdt == pytest.approx(sum(result.slippage_usdt for result in results))
    assert costs.gross_usdt == pytest.approx(sum(result.gross_usdt + result.slippage_usdt for result in results))
    assert costs.net_usdt == pytest.approx(costs.gross_usdt - costs.fees_usdt - costs.slippage_usdt)


def test_the_costs_of_a_trade_are_measured_against_its_stop(document: Document) -> None:
    """Two fees of 0.01 % and slippage of 0.005 %, twice that in high volatility, against a stop of 0.6 or 0.8 %."""
    ratio = document.statistics["cost_to_stop"]
    assert ratio is not None
    assert 0.03 / 0.8 < ratio < 0.041 / 0.6
    promise = document.promise
    assert promise is not None
    assert promise.cost_per_trade_r == pytest.approx(ratio, rel=0.1)


def test_what_comes_after_a_training_changes_no_choice(study: RealStudy, folds: list[Fold]) -> None:
    changed = False
    for fold in folds:
        assert fold.train.end_ms is not None
        noisy = study.with_tape(with_noise_from(study.tape, fold.train.end_ms))
        assert choose_in(noisy, fold, noisy.context()) == choose_in(study, fold, study.context()) is not None
        changed |= noisy.rows(study.spans[fold.test]) != study.rows(study.spans[fold.test])
    assert changed


def test_holding_is_shown_beside_the_result(study: RealStudy, folds: list[Fold], document: Document) -> None:
    cash, held = document.yardsticks
    assert (cash.name, cash.net_usdt) == ("cash", 0.0)
    [table] = study.tape.candles
    growth = 1.0
    for fold in folds:
        first, end = (bisect_left(table.open_time_ms, time_ms or 0) for time_ms in fold.test)
        growth *= table.close[end - 1] / table.open[first]
    assert held.net_usdt == pytest.approx(RISK.capital_usdt * (growth - 1.0))
    assert held.sharpe is not None and held.max_drawdown_fraction > 0.0


def test_holding_two_symbols_is_half_of_each_and_no_candle_is_cash(study: RealStudy) -> None:
    [contract], [table] = study.tape.contracts, study.tape.candles
    flat = replace(table, open=table.open[:], close=table.open[:1] * len(table.open))
    flat.open[:] = flat.close
    two = replace(study.tape, contracts=[contract, replace(contract, symbol="BBB")], candles=[table, flat])
    _, one = yardsticks(study.tape, ["AAA"], [TradedSpan()], 1_000.0)
    _, both = yardsticks(two, ["AAA", "BBB"], [TradedSpan()], 1_000.0)
    assert both.net_usdt == pytest.approx(one.net_usdt / 2.0)
    _, nothing = yardsticks(study.tape, ["AAA"], [TradedSpan(end_ms=table.open_time_ms[0])], 1_000.0)
    assert (nothing.net_usdt, nothing.sharpe) == (0.0, None)


def test_the_sharpe_of_a_row_is_that_of_its_days(study: RealStudy) -> None:
    numbers, equities = study.days(0)
    for number, row, (_, _, ratio) in zip(numbers, equities, study.rows(0), strict=True):
        assert ratio == sharpe(daily_returns(RISK.capital_usdt, row.tolist())), number


@pytest.mark.slow
@pytest.mark.parametrize(("reversion", "outcomes"), [(1.0, {"BET"}), (0.0, {"NO", "CANNOT SAY"})])
def test_a_planted_edge_is_found_in_candles_and_noise_is_not(reversion: float, outcomes: set[str]) -> None:
    study = RealStudy(market_with_jumps(90, reversion))
    assert conclude(study, study.folds(20, 12), study.context()).verdict.outcome in outcomes
