"""Checkpoints along a log are bounded in number and bytes, ordered, and share equal chunks."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import pytest

from papertape.engine.inspect.checkpoints import CHUNK_BYTES_MIN, COMPRESSION_LEVEL, StateCheckpoints
from papertape.engine.inspect.state_chunks import split_state
from papertape.engine.reducer.snapshot_codec import encode
from papertape.engine.reducer.state import list_contract, new_state
from tests.build import listed
from tests.support import STRATEGIES

if TYPE_CHECKING:
    from papertape.engine.reducer.state import EngineState


def marked(seq: int) -> EngineState:
    """A world that differs from others in what is not in a ring."""
    world = new_state(STRATEGIES)
    list_contract(world, listed("AAA"))
    world.guard_trip_seq = seq
    return world


def own_bytes() -> int:
    """What such a world takes beside the others."""
    return len(zlib.compress(next(iter(split_state(marked(10**6)))), COMPRESSION_LEVEL)) + CHUNK_BYTES_MIN


@pytest.mark.parametrize("by_bytes", [False, True])
def test_places_are_bounded_in_number_and_in_bytes_however_long_the_log_is(*, by_bytes: bool) -> None:
    if by_bytes:
        bytes_max = 15 * own_bytes()
        places = StateCheckpoints(bytes_max=bytes_max, distance_events=100)
    else:
        bytes_max = 10**9
        places = StateCheckpoints(count_max=10, distance_events=100)
    for seq in range(50, 200_000, 50):
        places.offer(seq, marked(seq))
        assert len(places) <= (15 if by_bytes else 10)
        assert places.total_bytes <= bytes_max
    assert len(places) >= 4
    assert 200_000 - places.last_before(200_000) <= 2 * places.distance_events
    assert places.distance_events < 200_000
    assert places.last_before(places.distance_events - 1) == 0
    for seq in range(1_000, 200_000, 7_000):
        if (at := places.last_before(seq)) > 0:
            assert encode(places.state(seq, STRATEGIES)) == encode(marked(at))


def test_what_two_places_have_in_common_is_kept_once_and_goes_with_the_last() -> None:
    places = StateCheckpoints(count_max=4, distance_events=100)
    places.offer(100, marked(100))
    first = places.total_bytes
    places.offer(200, marked(200))
    assert places.total_bytes - first <= own_bytes() + 8 < first
    places.offer(300, marked(300))
    places.offer(400, marked(400))
    before = places.total_bytes
    places.offer(500, marked(500))
    assert len(places) == 2
    assert places.total_bytes < before


def test_places_found_on_the_way_back_stand_in_order() -> None:
    places, world = StateCheckpoints(distance_events=100), new_state(STRATEGIES)
    for seq in (900, 500, 100, 700, 650, 300):
        places.offer(seq, world)
    assert [places.last_before(seq) for seq in (150, 350, 550, 750, 950)] == [100, 300, 500, 700, 900]
