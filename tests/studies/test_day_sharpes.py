"""Many Sharpe ratios at once are those of the metrics, to the bit."""

from __future__ import annotations

from array import array
from random import Random

from papertape.projections.folds.metrics import daily_returns, sharpe
from papertape.studies.day_sharpes import ARRAYS_FROM, day_sharpes


def test_arrays_give_what_the_metrics_give_to_the_bit() -> None:
    random = Random(3)
    for days in (1, 2, 3, 30, 365):
        equities = []
        for scale in [0.0, 1e-9, 1.0, 100.0, 5_000.0] * ARRAYS_FROM:
            walk = [10_000.0]
            for _ in range(days):
                walk.append(walk[-1] + random.gauss(0.1, scale) * (scale > 0.0))
            equities.append(array("d", walk[1:]))
        expected = [sharpe(daily_returns(10_000.0, one)) for one in equities]
        assert day_sharpes(10_000.0, [one.tobytes() for one in equities]) == expected
        assert any(one is None for one in expected)
        assert days < 2 or any(one is not None for one in expected)


def test_no_sets_and_no_days_have_no_ratio() -> None:
    assert day_sharpes(10_000.0, []) == []
    assert day_sharpes(10_000.0, [b""] * 100) == [None] * 100
