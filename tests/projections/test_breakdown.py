"""Given closed trades, then their groups and the histogram of their results."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papertape.events.units import HOUR_MS
from papertape.projections.folds.breakdown import BIN_FROM, BIN_UNTIL, BINS_A_R, bins, breakdown
from tests.build import DAY_0_MS, trade


def test_groups_are_sorted_by_size() -> None:
    found = breakdown([trade(3.0, symbol="ETHUSDT"), trade(-1.0), trade(2.0), trade(0.0)])
    assert [(row.name, row.trades, row.wins, row.net_usdt) for row in found.by_symbol] == [
        ("BTCUSDT", 3, 1, 1.0),
        ("ETHUSDT", 1, 1, 3.0),
    ]
    assert found.by_symbol[0].win_rate_percent == pytest.approx(100.0 / 3.0)


def test_hours_are_the_utc_hours_of_the_entries_in_order() -> None:
    at = [DAY_0_MS + 23 * HOUR_MS, DAY_0_MS + 5 * HOUR_MS, DAY_0_MS + 29 * HOUR_MS]
    found = breakdown([trade(1.0, entry_time_ms=entry_ms) for entry_ms in at])
    assert [(row.name, row.trades) for row in found.by_hour] == [("05:00", 2), ("23:00", 1)]


def test_without_trades_there_are_no_groups_and_all_bins_are_empty() -> None:
    found = breakdown([])
    assert (found.by_symbol, found.by_side, found.by_hour, found.by_exit_reason) == ((), (), (), ())
    assert sum(one.trades for one in found.results_r) == 0


@given(st.lists(st.floats(-100.0, 100.0), max_size=50))
def test_every_result_is_counted_in_the_right_bin(results: list[float]) -> None:
    found = bins(results)
    assert len(found) == BIN_UNTIL - BIN_FROM
    assert sum(one.trades for one in found) == len(results)
    inner = [one for one in found if one.from_r > BIN_FROM / BINS_A_R and one.until_r < BIN_UNTIL / BINS_A_R]
    for one in inner:
        assert one.trades == sum(one.from_r <= result < one.until_r for result in results)


def test_every_hour_has_a_net_result_even_without_trades() -> None:
    trades = [trade(3.0), trade(-1.0), trade(5.0, entry_time_ms=DAY_0_MS + 14 * HOUR_MS)]
    found = breakdown(trades).net_by_hour_usdt
    assert len(found) == 24
    assert (found[0], found[1], found[14]) == (2.0, 0.0, 5.0)
