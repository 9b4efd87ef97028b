"""Checkpoints are evenly spaced and bounded in number, and the nearest one is found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papertape.events.units import MINUTE_MS
from papertape.projections.site.checkpoints import Checkpoints, ViewCache
from papertape.projections.site.views import Views
from tests.build import DAY_0_MS, candle, recorded
from tests.projections.portrait import portrait
from tests.support import examples


def checkpoints_after(count: int, distance: int = 4, count_max: int = 6) -> tuple[Checkpoints, Views]:
    """Return the checkpoints after this many candles."""
    checkpoints, views = Checkpoints(count_max, distance), Views()
    for one in recorded([candle(minute, 100.0) for minute in range(count)]):
        views.apply(one)
        checkpoints.offer(views)
    return checkpoints, views


@given(count=st.integers(0, 400), seq=st.integers(0, 500))
@examples(80)
def test_the_nearest_earlier_checkpoint_is_within_the_distance(count: int, seq: int) -> None:
    checkpoints, _ = checkpoints_after(count)
    assert len(checkpoints) <= 6
    assert len(checkpoints) == count // checkpoints.distance_events, "none is missing where one was due"
    found = checkpoints.last_before(seq)
    reachable = min(seq, count)
    assert (found.seq if found is not None else 0) == reachable - reachable % checkpoints.distance_events
    if found is not None:
        assert found.views.seq == found.seq


def test_a_checkpoint_does_not_change() -> None:
    checkpoints, views = checkpoints_after(9)
    fresh = checkpoints_after(8)[1]
    checkpoint = checkpoints.last_before(8)
    assert checkpoint is not None and checkpoint.views is not views
    assert portrait(checkpoint.views) == portrait(fresh)


def test_the_next_checkpoint_is_always_ahead() -> None:
    checkpoints, _ = checkpoints_after(0)
    assert [checkpoints.events_until_due(seq) for seq in (0, 1, 3, 4, 5)] == [4, 3, 1, 4, 3]


@pytest.mark.parametrize(("minutes", "seq"), [(0, 0), (3, 0), (4, 4), (7, 4), (8, 8), (500, 20)])
def test_no_candle_up_to_a_checkpoint_closed_later(minutes: int, seq: int) -> None:
    checkpoints, _ = checkpoints_after(22)
    found = checkpoints.last_before_time(DAY_0_MS + minutes * MINUTE_MS)
    assert (found.seq if found is not None else 0) == seq


def test_each_place_is_kept_once() -> None:
    checkpoints, views = checkpoints_after(4)
    checkpoints.offer(views)
    assert len(checkpoints) == 1


def test_the_cache_drops_the_least_recently_requested_views() -> None:
    results, every = ViewCache(2), {seq: checkpoints_after(seq)[1] for seq in (3, 5, 9)}
    results.put(every[3])
    results.put(every[5])
    assert results.get(3) is every[3]
    results.put(every[9])
    assert [results.get(seq) for seq in (3, 5, 9)] == [every[3], None, every[9]]
    assert [results.nearest_before(seq) for seq in (2, 3, 8, 9)] == [None, every[3], every[3], every[9]]
    assert len(results) == 2
