"""Monte Carlo: what another order of trades, days and candles would have done; and higher costs."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from papertape.engine.feeds.files.columns import CandleColumns
from papertape.engine.kernel.risk_settings import RiskSettings
from papertape.events.units import MINUTE_MS
from papertape.studies.statistics.orders import (
    block_paths,
    cumulative_bands,
    path_drawdowns,
    quantile,
    shuffled_drawdowns,
    with_redrawn_candles,
)
from papertape.studies.statistics.stress import with_higher_costs
from tests.reducer.random_market import Recipe, market


def test_shuffles_find_the_drawdowns_of_all_orders() -> None:
    nets = [100.0, -50.0, -60.0, 30.0]
    expected = set()
    for order in permutations(nets):
        equities = 1_000.0 + np.cumsum(order)
        peaks = np.maximum.accumulate(np.concatenate([[1_000.0], equities]))[1:]
        expected.add(round(float(((peaks - equities) / peaks).max()), 9))
    found = shuffled_drawdowns(nets, 1_000.0)
    assert len(found) == 2_000
    assert {round(float(one), 9) for one in found} == expected


def test_a_ruined_account_has_lost_everything_and_none_has_nothing_to_shuffle() -> None:
    assert quantile(shuffled_drawdowns([-800.0, -700.0], 1_000.0), 0.95) == 1.0
    assert quantile(shuffled_drawdowns([], 1_000.0), 0.95) is None
    assert quantile(shuffled_drawdowns([-10.0], 0.0), 0.95) is None
    assert quantile(shuffled_drawdowns([-10.0], 1_000.0), 0.95) == pytest.approx(0.01)


def test_bands_follow_the_mean_and_widen_with_the_root_of_the_trades() -> None:
    bands = cumulative_bands([1.0, -1.0, 0.5, -0.3], trades=400)
    assert len(bands) == 400
    _, low, _, middle, _, high = bands[-1]
    spread = np.std([1.0, -1.0, 0.5, -0.3])
    assert middle == pytest.approx(0.05 * 400, abs=2.0)
    assert high - low == pytest.approx(2 * 1.645 * spread * 20.0, rel=0.1)
    assert all(list(band) == sorted(band) for band in bands)
    assert cumulative_bands([]) == ()
    assert cumulative_bands([0.5], trades=2) == ((0.5,) * 6, (1.0,) * 6)


def test_days_are_drawn_in_blocks_that_keep_their_order() -> None:
    returns = [k / 1_000.0 for k in range(100)]
    paths = block_paths(returns, block_days=10.0, draws=200, seed=3)
    assert paths.shape == (200, 100)
    drawn = np.round((paths[:, 1:] / paths[:, :-1] - 1.0) * 1_000.0).astype(int)
    follows = (np.diff(drawn, axis=1) % 100 == 1).mean()
    assert follows == pytest.approx(0.9, abs=0.02)
    assert block_paths([], 5.0).shape == (2_000, 0)
    assert len(path_drawdowns(block_paths([], 5.0))) == 0
    assert path_drawdowns(block_paths([-1.0, -1.0], 1.0, draws=4)).tolist() == [1.0] * 4


def test_redrawn_candles_are_candles_of_their_own_block() -> None:
    [before] = market(Recipe(9, candles=1_000)).candles
    after = with_redrawn_candles(before, block_candles=250, run_candles=10, seed=5)
    assert after.open_time_ms == before.open_time_ms
    assert after.close != before.close
    assert after == with_redrawn_candles(before, block_candles=250, run_candles=10, seed=5)
    for open_, high, low, close, volume in zip(*after.values(), strict=True):
        assert 0.0 < low <= min(open_, close) <= max(open_, close) <= high
        assert volume >= 0.0
    for first in range(0, 1_000, 250):
        assert set(after.volume[first : first + 250]) <= set(before.volume[first : first + 250])
    bodies = np.round(np.array(after.close) / np.array(after.open), 9)
    assert set(bodies) <= set(np.round(np.array(before.close) / np.array(before.open), 9))


def test_a_short_table_is_redrawn_too() -> None:
    [single] = market(Recipe(9, candles=1)).candles
    assert with_redrawn_candles(single, 100).open == single.open
    assert not with_redrawn_candles(CandleColumns("none", MINUTE_MS), 100).close


def test_stress_raises_every_cost_and_shrinks_a_rebate() -> None:
    harder = with_higher_costs(RiskSettings(maker_fee_percent=-0.03, taker_fee_percent=4.0, slippage_percent=0.05))
    assert (harder.maker_fee_percent, harder.taker_fee_percent, harder.slippage_percent) == (-0.02, 5.0, 0.1)
    harder = with_higher_costs(RiskSettings())
    assert harder.maker_fee_percent == pytest.approx(0.03)
    assert harder.taker_fee_percent == pytest.approx(0.09)
