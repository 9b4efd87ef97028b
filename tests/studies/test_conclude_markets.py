"""The verdict over simulated studies: it bets on almost no noise, and on most of the strategies that have an edge.

The edge is large, 0.3 R a trade after costs in the middle of the grid and half as much before costs at its border: an
annual Sharpe ratio of about 7 in a year. With 0.2 R, a ratio of about 5, it bets on three quarters, and says of the
others that luck would do.
"""

from __future__ import annotations

from collections import Counter

import pytest

from papertape.studies.conclude import conclude
from tests.studies.simulated import Recipe, SimulatedStudy


def outcomes(seeds: range, edge_r: float, cost_r: float) -> Counter[str]:
    """How often every outcome comes out."""
    found: Counter[str] = Counter()
    for seed in seeds:
        study = SimulatedStudy(Recipe(seed, edge_r, cost_r))
        found[conclude(study, study.folds(), study.context()).verdict.outcome] += 1
    return found


@pytest.mark.system
def test_it_bets_on_an_edge_and_not_on_noise() -> None:
    assert outcomes(range(4), edge_r=0.0, cost_r=0.001)["BET"] == 0
    assert outcomes(range(4), edge_r=0.4, cost_r=0.1)["BET"] >= 3


@pytest.mark.slow
def test_it_bets_on_at_most_1_of_100_noise_markets() -> None:
    found = outcomes(range(100), edge_r=0.0, cost_r=0.001)
    assert found["BET"] + found["BET SMALL"] <= 1, found


@pytest.mark.slow
def test_it_bets_on_at_least_80_of_100_markets_with_an_edge() -> None:
    found = outcomes(range(100), edge_r=0.4, cost_r=0.1)
    assert found["BET"] >= 80, found
