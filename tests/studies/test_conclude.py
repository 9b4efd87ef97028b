"""What a study concludes: the record of the chosen sets, and an answer in every case that has none."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from papertape.engine.research.set_result import TradedSpan
from papertape.events.units import DAY_MS, HOUR_MS
from papertape.projections.folds.metrics import daily_returns, sharpe
from papertape.projections.studies.document import Document
from papertape.studies.chance import returns_of
from papertape.studies.choice import choose, purged_days
from papertape.studies.conclude import conclude
from papertape.studies.folds import Windows
from papertape.studies.joined import equity_of, join
from papertape.studies.walk import walk
from tests.studies.simulated import RISK, START_MS, Recipe, SimulatedStudy, drawn_results

if TYPE_CHECKING:
    from papertape.projections.studies.document import GateResult

SMALL = Recipe(1, edge_r=0.4, cost_r=0.1, rows=2, columns=3, days=200)


@pytest.fixture(scope="module")
def document() -> Document:
    """The conclusions of a small study with an edge."""
    study = SimulatedStudy(SMALL)
    folds, others = study.folds(), study.folds(60, 20)
    windows = Windows(60 * DAY_MS, 20 * DAY_MS, DAY_MS)
    return conclude(study, folds, study.context(trials=40, matrix=[(windows, others)]))


def concluded(results_r: Any, **others: Any) -> Document:
    """The conclusions of a study with these results by day, trade and set."""
    study = SimulatedStudy(replace(SMALL, days=len(results_r)), results_r)
    return conclude(study, study.folds(), study.context(**others))


def gate(document: Document, name: str) -> GateResult:
    return next(one for one in document.verdict.gates if one.name == name)


@pytest.mark.system
def test_the_record_is_that_of_the_sets_chosen_in_training(document: Document) -> None:
    study = SimulatedStudy(SMALL)
    for fold, shown in zip(study.folds(), document.folds, strict=True):
        rows = {number: ratio for number, _, ratio in study.rows(study.spans[fold.train])}
        assert shown.train_sharpe == rows[shown.chosen_set or 0] == max(ratio or 0.0 for ratio in rows.values())
        [(result, ratio)] = [(one, r) for n, one, r in study.rows(study.spans[fold.test]) if n == shown.chosen_set]
        assert shown.test_net_usdt == pytest.approx(result.end_equity_usdt - RISK.capital_usdt)
        assert shown.test_trades == result.trades
        assert shown.test_sharpe == pytest.approx(ratio)
    assert document.costs.trades == sum(fold.test_trades for fold in document.folds)
    costs = document.costs
    assert costs.net_usdt == pytest.approx(costs.gross_usdt - costs.fees_usdt - costs.slippage_usdt)
    assert costs.net_usdt == pytest.approx(sum(fold.test_net_usdt for fold in document.folds))


def test_the_joined_equity_chains_the_days_of_fresh_accounts(document: Document) -> None:
    growth = 1.0
    for fold in document.folds:
        growth *= 1.0 + fold.test_net_usdt / RISK.capital_usdt
    times_ms, equities = zip(*document.joined, strict=True)
    assert equities[-1] == pytest.approx(RISK.capital_usdt * growth)
    assert times_ms[0] == document.folds[0].test_from_ms + DAY_MS
    assert times_ms[-1] == document.folds[-1].test_until_ms
    returns = daily_returns(RISK.capital_usdt, equities)
    assert document.statistics["sharpe"] == pytest.approx(sharpe(returns))


def test_the_document_has_everything_that_is_shown(document: Document) -> None:
    assert msgspec.json.decode(msgspec.json.encode(document), type=Document) == document
    assert (document.train_ms, document.test_ms, document.embargo_ms) == (90 * DAY_MS, 30 * DAY_MS, DAY_MS)
    assert len(document.pairs) == 6
    assert document.slope is not None
    assert [yardstick.name for yardstick in document.yardsticks] == ["cash"]
    [cell] = document.matrix
    assert (cell.train_ms, cell.folds) == (60 * DAY_MS, 6)
    assert cell.trades == 6 * 20 * 2
    assert cell.sharpe is not None
    verdict = document.verdict
    assert (verdict.trials, document.trials) == (40, 40)
    assert verdict.parameters == SimulatedStudy(SMALL).grid.values(verdict.chosen_set or 0)
    assert verdict.effective_trials is not None and 1.0 < verdict.effective_trials < 6.0
    assert verdict.chosen_set in verdict.survivors


def test_the_promise_is_made_of_the_trades_out_of_sample(document: Document) -> None:
    promise = document.promise
    assert promise is not None
    assert promise.trades_per_day == 2.0
    assert promise.cost_per_trade_r == pytest.approx(0.1)
    assert promise.mean_r == pytest.approx(document.costs.net_usdt / document.costs.trades / 10.0)
    assert len(promise.bands_r) == 500
    assert promise.bands_r[99][2] == pytest.approx(100 * promise.mean_r, abs=1.0)
    assert gate(document, "stress").number == 100.0 * promise.drawdown_95_fraction


def test_higher_costs_are_run_again(document: Document) -> None:
    """Fees are three fifths of the costs: half as much of them again, and the other two fifths again."""
    more_usdt = document.costs.trades * 0.1 * (0.6 * 0.5 + 0.4) * 10.0
    assert document.statistics["stress_net_usdt"] == pytest.approx(document.costs.net_usdt - more_usdt)


# ---------------------------------------------------------------- cases without an answer


def test_no_trade_in_any_set_is_no_answer() -> None:
    document = concluded(np.full((200, 2, 6), np.nan))
    assert document.verdict.outcome == "CANNOT SAY"
    assert document.verdict.chosen_set is None
    assert "no set traded 10 times" in gate(document, "enough").change
    assert {fold.chosen_set for fold in document.folds} == {None}
    assert document.promise is None
    assert document.joined[-1][1] == RISK.capital_usdt


def test_one_set_cannot_be_overfitted_and_has_no_neighbours() -> None:
    study = SimulatedStudy(replace(SMALL, rows=1, columns=1))
    document = conclude(study, study.folds(), study.context())
    assert document.verdict.outcome == "CANNOT SAY"
    assert "one set" in gate(document, "overfitting").text
    assert gate(document, "plateau").text == "the chosen set has no neighbours"
    assert gate(document, "deflated").state == "passed"


def test_neighbours_that_were_not_drawn_are_run_for_the_plateau(document: Document) -> None:
    study = SimulatedStudy(SMALL)
    chosen = document.verdict.chosen_set
    assert chosen is not None
    around, folds = study.grid.neighbours(chosen), study.folds()
    for span in (TradedSpan(), *(one for fold in folds for one in (fold.train, fold.test))):
        rows = study.rows(study.spans[span])
        rows[:] = [row for row in rows if row[0] not in around]
    found = conclude(study, folds, study.context(trials=40))
    assert found.verdict.chosen_set == chosen
    assert gate(found, "plateau").text == gate(document, "plateau").text
    assert "neighbours" in gate(found, "plateau").text


def test_sets_that_are_all_equal_say_so() -> None:
    document = concluded(drawn_results(replace(SMALL, rows=1, columns=1)).repeat(6, axis=2))
    assert "all sets earned the same" in gate(document, "overfitting").text
    assert "the same Sharpe ratio" in gate(document, "deflated").text
    assert document.verdict.outcome == "CANNOT SAY"
    assert document.verdict.chosen_set == 0
    assert document.slope is None


def test_a_ruined_account_stays_ruined() -> None:
    results_r = drawn_results(SMALL)
    results_r[:, :, :] -= 30.0  # Each trade loses about 300 USDT.
    document = concluded(results_r)
    assert document.verdict.outcome == "NO"
    assert document.joined[-1][1] == 0.0
    assert gate(document, "stress").state == "failed"
    assert document.promise is not None
    assert document.promise.drawdown_95_fraction == 1.0


def test_fewer_days_than_blocks_leave_overfitting_open() -> None:
    recipe = replace(SMALL, days=15, trades_a_day=8)
    study = SimulatedStudy(recipe)
    document = conclude(study, study.folds(5, 3, 0), study.context())
    assert "15 days cannot be divided into 16 blocks" in gate(document, "overfitting").text
    assert document.verdict.outcome in ("CANNOT SAY", "NO")


def test_without_a_walk_forward_the_whole_span_is_still_judged() -> None:
    study = SimulatedStudy(SMALL)
    document = conclude(study, [], study.context())
    assert document.verdict.outcome == "CANNOT SAY"
    assert gate(document, "enough").state == "skipped"
    assert gate(document, "deflated").state == "passed"
    assert (document.folds, document.joined, document.pairs) == ((), (), ())


def test_without_numpy_the_gates_that_need_it_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    study = SimulatedStudy(SMALL)
    folds = study.folds()
    for fold in folds:
        study.rows(study.spans[fold.train]), study.rows(study.spans[fold.test])
    monkeypatch.setitem(sys.modules, "numpy", None)
    document = conclude(study, folds, study.context())
    for name in ("out_of_sample", "overfitting", "family", "stress"):
        assert "papertape[study]" in gate(document, name).text
    assert gate(document, "plateau").state == "passed"
    assert document.verdict.outcome == "CANNOT SAY"


def test_doubts_about_the_data_stand_in_the_document() -> None:
    study = SimulatedStudy(SMALL)
    doubts = ("BTCUSDT: no funding rates", "BTCUSDT: 40 of 2,000 candles are missing (2.0 %)")
    plan = replace(study.context().plan, warnings=doubts)
    assert conclude(study, [], study.context(plan=plan)).warnings == doubts


def test_trials_of_other_studies_count() -> None:
    study = SimulatedStudy(SMALL)
    few, many = (conclude(study, study.folds(), study.context(trials=trials)) for trials in (6, 10**6))
    assert few.statistics["deflated_sharpe"] or (many.statistics["deflated_sharpe"] or 0.0) < 0.0
    assert "1,000,000 sets tried" in gate(many, "deflated").text


# ---------------------------------------------------------------- the rule


def test_the_lowest_number_wins_among_equals_and_rare_traders_are_not_chosen() -> None:
    study = SimulatedStudy(SMALL)
    [(_, result, _), *_] = study.rows(0)
    rare = result._replace(trades=9)
    assert choose([(0, rare, 9.0), (1, result, 1.0), (2, result, 1.0)]) is not None
    assert [choose(rows) for rows in ([(0, rare, 9.0)], [(0, result, None)], [])] == [None] * 3
    chosen = choose([(0, rare, 9.0), (1, result, 1.0), (2, result, 1.0)])
    assert chosen is not None and (chosen.number, chosen.sharpe) == (1, 1.0)


def test_days_that_a_trade_could_carry_into_the_test_do_not_count() -> None:
    until_ms = 10 * DAY_MS
    assert purged_days(until_ms, until_ms, 0) == 0
    assert purged_days(until_ms, until_ms, HOUR_MS) == 1
    assert purged_days(until_ms, until_ms + DAY_MS, DAY_MS) == 0  # The embargo is as long.
    assert purged_days(until_ms, until_ms + DAY_MS, 3 * DAY_MS) == 2
    study = SimulatedStudy(SMALL)
    [(_, result, ratio), *_] = study.rows(0)
    equities = {0: np.array([10_100.0, 10_050.0, 10_200.0, 20_000.0])}
    one_day = result._replace(longest_holding_ms=DAY_MS)
    found = choose([(0, one_day, ratio)], equities, 10_000.0, until_ms, until_ms)
    assert found is not None
    assert found.sharpe == sharpe(daily_returns(10_000.0, [10_100.0, 10_050.0, 10_200.0]))


def test_a_day_that_two_folds_share_has_both_returns() -> None:
    joined = join([(7, 100.0, [110.0, 121.0]), (8, 100.0, [150.0]), (10, 100.0, [-5.0, 20.0])])
    assert joined == {7: pytest.approx(0.1), 8: pytest.approx(0.65), 10: -1.0, 11: 0.0}
    assert [equity for _, equity in equity_of(joined, 100.0)] == pytest.approx([110.0, 181.5, 0.0, 0.0])


def test_returns_by_matrix_are_those_of_the_metrics() -> None:
    equities = [[110.0, 99.0, -5.0, 20.0], [100.0, 100.0, 100.0, 101.0]]
    expected = [daily_returns(100.0, row) for row in equities]
    assert returns_of(np.array(equities), 100.0).T.tolist() == expected


def test_a_fold_without_a_chosen_set_stays_in_cash() -> None:
    study = SimulatedStudy(SMALL, np.full((200, 2, 6), np.nan))
    [step, *_] = walk(study, study.folds(), study.context())
    first_day, capital_usdt, equities = step.part(RISK.capital_usdt)
    assert first_day == START_MS // DAY_MS + 91
    assert equities == [capital_usdt] * 30
