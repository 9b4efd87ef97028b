"""The bootstraps of arch agree with its published numbers, and say what they lack."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from papertape.studies.statistics.bootstrap import family_test, mean_interval


def noise(days: int = 512, sets: int = 100) -> np.ndarray:
    return np.random.default_rng(7).normal(0.0, 0.01, (days, sets))


def test_noise_does_not_beat_cash() -> None:
    found = family_test(noise(), repetitions=500, seed=7)
    assert found.p_value == pytest.approx(0.388, abs=1e-9)
    assert found.survivors == ()


def test_the_set_with_an_edge_survives_alone() -> None:
    returns = noise()
    returns[:, 17] += 0.004
    found = family_test(returns, seed=7)
    assert found.p_value == 0.0
    assert found.survivors == (17,)


def test_the_survivors_are_those_of_arch() -> None:
    from arch.bootstrap import StepM  # noqa: PLC0415 - it imports scipy: 2 s that most workers need not spend

    returns = noise(sets=20) + np.linspace(-0.001, 0.003, 20)
    steps = StepM(np.zeros(len(returns)), -returns, 0.05, reps=300, seed=3)
    steps.compute()
    assert 0 < len(steps.superior_models) < 20
    assert family_test(returns, repetitions=300, seed=3).survivors == tuple(steps.superior_models)


def test_all_sets_can_survive() -> None:
    assert family_test(noise(sets=3) + 0.01, repetitions=100).survivors == (0, 1, 2)


def test_columns_keep_their_numbers_beside_sets_that_never_moved() -> None:
    returns = noise(sets=5)
    returns[:, 3] += 0.004
    returns[:, 1] = 0.0
    assert family_test(returns).survivors == (3,)


def test_the_interval_holds_the_mean_and_is_the_same_for_the_same_seed() -> None:
    days = noise(sets=1)[:, 0]
    found = mean_interval(days, seed=1)
    assert found.lower is not None and found.upper is not None and found.block_days is not None
    assert found.lower < days.mean() < found.upper
    assert found.upper - found.lower == pytest.approx(2 * 1.645 * days.std() / np.sqrt(len(days)), rel=0.1)
    assert found == mean_interval(days, seed=1)


def test_what_is_not_defined_says_why() -> None:
    assert "9 days are too few" in mean_interval([0.01] * 9).why
    assert "all days earned the same" in mean_interval([0.0] * 30).why
    assert "too few" in family_test(noise(days=5)).why
    assert family_test(np.zeros((30, 3))).why == "no set moved"


def test_without_arch_the_text_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "arch.bootstrap", None)
    for found in (mean_interval(noise()[:, 0]), family_test(noise())):
        assert "papertape[study]" in found.why
