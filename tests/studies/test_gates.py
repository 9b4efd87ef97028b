"""The gates of a verdict: each can pass, fail and be skipped, and the first failure decides."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from papertape.events.units import DAY_MS
from papertape.studies.evidence import Evidence, Family, OutOfSample, Stress, Trials
from papertape.studies.gates import GATES, judge
from papertape.studies.statistics.plateau import Plateau
from papertape.studies.statistics.sharpe import SharpeRatio
from papertape.studies.verdict import REASONS, make_verdict

UNTIL_MS = 20_454 * DAY_MS
"""2026-01-01 00:00 UTC."""
GOOD = Evidence(
    outside=OutOfSample(
        trades=412,
        days=274,
        until_ms=UNTIL_MS,
        net_usdt=3_000.0,
        sharpe=SharpeRatio(0.15, 274),
        chosen_folds=6,
        cost_to_stop=0.12,
        gross_usdt=9.0,
        cost_usdt=2.0,
        lower=0.0002,
        upper=0.002,
    ),
    trials=Trials(SharpeRatio(0.2, 365), 0.001, 600),
    family=Family(sets=600, overfitting=0.1, splits=12_870, slope=0.4, p_value=0.01, survivors=12),
    plateau=Plateau(6, 5 / 6, 2_000.0, 2_500.0),
    stress=Stress(1_500.0, 0.04, 0.05, 2.0),
)
NAMES = ["enough", "costs", "out_of_sample", "deflated", "overfitting", "family", "plateau", "stress"]


def with_part(part: str, **changes: Any) -> Evidence:
    """The good evidence with some numbers of one part changed."""
    return replace(GOOD, **{part: replace(getattr(GOOD, part), **changes)})


def test_a_strategy_that_passes_every_gate_is_a_bet() -> None:
    gates = judge(GOOD)
    assert [gate.name for gate in gates] == NAMES == list(REASONS)
    verdict = make_verdict(gates, 47, {"lookback": 20}, 600, survivors=(47,))
    assert (verdict.outcome, verdict.first_failed, verdict.chosen_set) == ("BET", "", 47)
    assert {gate.state for gate in gates} == {"passed"}
    assert all(gate.text and gate.number is not None and gate.limit is not None for gate in gates)


BROKEN: list[tuple[str, str, dict[str, Any], str, str]] = [
    ("enough", "outside", {"trades": 40}, "40 out-of-sample trades (at least 100 needed)", "until 2027-02-"),
    ("enough", "outside", {"trades": 0}, "0 out-of-sample trades", "never traded in a test"),
    ("enough", "outside", {"trades": 0, "chosen_folds": 0}, "0 out-of-sample trades", "no set traded 10 times"),
    (
        "enough",
        "outside",
        {"sharpe": SharpeRatio(0.08, 274)},
        "274 days (at least 426 needed)",
        "about 152 more days, until 2026-06-02",
    ),
    ("enough", "outside", {"sharpe": SharpeRatio(0.02, 274)}, "274 days (at least 6,7", "more than 2 years"),
    ("enough", "outside", {"sharpe": SharpeRatio(1.0, 274, 9.0)}, "too uneven", "fewer extreme days"),
    ("costs", "outside", {"cost_to_stop": 0.5}, "pays 50 % of its loss at the stop", "stops 1.5 times as far away"),
    ("costs", "outside", {"gross_usdt": 3.0}, "earns 3.00 USDT before costs of 2.00", "costs of at most 1.50 USDT"),
    ("costs", "outside", {"gross_usdt": -3.0}, "loses 3.00 USDT before costs", "lose money before costs"),
    ("out_of_sample", "outside", {"net_usdt": -1.0, "sharpe": None}, "-1.00 USDT after costs", "different rules"),
    ("out_of_sample", "outside", {"lower": -0.0001}, "between -0.010 % and +0.200 %", "more days like these"),
    ("deflated", "trials", {"count": 10**9}, "1,000,000,000 sets tried", "a Sharpe ratio of about"),
    ("overfitting", "family", {"overfitting": 0.4}, "in 40 % of 12,870 ways", "coarser steps"),
    ("family", "family", {"p_value": 0.3}, "with a probability of 30 %", "a larger edge"),
    ("plateau", "plateau", {"profitable_share": 0.5}, "50 % of 6 neighbours", "in the middle of a region"),
    ("plateau", "plateau", {"median_usdt": 1_000.0}, "their median is +1,000.00", "finer steps"),
    ("plateau", "plateau", {"chosen_usdt": -5.0}, "the chosen set's -5.00 USDT", "in the middle"),
    ("stress", "stress", {"net_usdt": -3.0}, "-3.00 USDT with fees x1.5", "survives higher costs"),
    (
        "stress",
        "stress",
        {"drawdown_95": 0.1},
        "largest drawdown stays below 10 %",
        "max_risk_per_trade_percent of about 1 ",
    ),
]


@pytest.mark.parametrize(("name", "part", "changes", "text", "change"), BROKEN)
def test_a_gate_fails_at_its_limit_and_says_what_would_change_it(
    name: str, part: str, changes: dict[str, Any], text: str, change: str
) -> None:
    gates = judge(with_part(part, **changes))
    verdict = make_verdict(gates, 47, {}, 600)
    [gate] = [gate for gate in gates if gate.state == "failed"]
    outcomes = {"enough": "CANNOT SAY", "stress": "BET SMALL"}
    assert (gate.name, gate.outcome) == (name, outcomes.get(name, "NO"))
    assert (verdict.outcome, verdict.first_failed) == (gate.outcome, name)
    assert text in gate.text
    assert change in gate.change
    assert REASONS[name] in verdict.headline


SKIPPED: list[tuple[str, str, dict[str, Any], str]] = [
    ("costs", "outside", {"cost_to_stop": None}, "no out-of-sample trade has a stop"),
    ("out_of_sample", "outside", {"lower": None, "why": "needs arch"}, "needs arch"),
    ("deflated", "trials", {"sharpe": None}, "no set has a Sharpe ratio"),
    ("deflated", "trials", {"variance": 0.0}, "the same Sharpe ratio"),
    ("deflated", "trials", {"sharpe": SharpeRatio(1.0, 10, 9.0)}, "too uneven"),
    ("overfitting", "family", {"overfitting": None, "overfitting_why": "15 days"}, "15 days"),
    ("family", "family", {"p_value": None, "family_why": "needs arch"}, "needs arch"),
]


@pytest.mark.parametrize(("name", "part", "changes", "text"), SKIPPED)
def test_a_gate_that_cannot_be_judged_leaves_no_answer(
    name: str, part: str, changes: dict[str, Any], text: str
) -> None:
    gates = judge(with_part(part, **changes))
    verdict = make_verdict(gates, 47, {}, 600)
    [gate] = [gate for gate in gates if gate.state == "skipped"]
    assert (gate.name, gate.number, gate.limit) == (name, None, None)
    assert text in gate.text
    assert (verdict.outcome, verdict.first_failed) == ("CANNOT SAY", name)


def test_the_first_failure_decides_before_any_gate_that_was_skipped() -> None:
    both = replace(with_part("family", p_value=0.3, overfitting=0.4), plateau=None)
    both = replace(both, trials=replace(GOOD.trials, variance=0.0))
    assert make_verdict(judge(both), 47, {}, 600).first_failed == "overfitting"


def test_without_a_walk_forward_nothing_is_known_out_of_sample() -> None:
    gates = judge(replace(GOOD, outside=None, stress=None, plateau=None))
    assert [gate.name for gate in gates if gate.state == "skipped"] == [*NAMES[:3], *NAMES[6:]]
    assert make_verdict(gates, None, {}, 600).outcome == "CANNOT SAY"
    assert "papertape walkforward" in gates[0].change


def test_a_single_set_is_not_deflated() -> None:
    gates = judge(with_part("trials", variance=0.0, count=1))
    assert gates[3].state == "passed"
    assert "the only set ever tried" in gates[3].text


def test_no_evidence_divides_by_zero() -> None:
    """Everything zero or unknown: every gate answers."""
    nothing = Evidence(
        outside=OutOfSample(0, 0, 0, 0.0, cost_to_stop=0.0),
        trials=Trials(SharpeRatio(0.0, 2), 0.0, 0),
        family=Family(0, overfitting=0.0, p_value=0.0),
        plateau=Plateau(1, 0.0, 0.0, 0.0),
        stress=Stress(0.0, 0.0, 0.0, 0.0),
    )
    assert len(judge(nothing)) == len(GATES)
    assert make_verdict(judge(nothing), None, {}, 0).outcome == "CANNOT SAY"
