"""Checkpoints of states along a log are ordered, apart, and share equal chunks."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from papertape.engine.inspect.checkpoints import StateCheckpoints
from papertape.engine.reducer.snapshot_codec import encode
from papertape.engine.reducer.state import list_contract, new_state
from papertape.events.checkpoints.store import CheckpointStore
from papertape.events.errors import SnapshotRefused
from tests.build import listed
from tests.support import STRATEGIES

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.engine.reducer.state import EngineState


def marked(seq: int) -> EngineState:
    """A world that differs from others in what is not in a ring."""
    world = new_state(STRATEGIES)
    list_contract(world, listed("AAA"))
    world.guard_trip_seq = seq
    return world


def hash_at(seq: int) -> bytes:
    return seq.to_bytes(32)


def test_places_are_apart_and_give_back_their_states() -> None:
    places = StateCheckpoints(distance_events=100)
    for seq in range(50, 5_000, 50):
        places.offer(seq, marked(seq), hash_at)
    assert len(places) == 49
    for seq in range(150, 5_000, 170):
        at = places.last_before(seq)
        assert 0 <= seq - at < 100
        assert encode(places.state(seq, STRATEGIES)) == encode(marked(at))


def test_places_found_on_the_way_back_stand_in_order() -> None:
    places, world = StateCheckpoints(distance_events=100), new_state(STRATEGIES)
    for seq in (900, 500, 100, 700, 650, 300):
        places.offer(seq, world, hash_at)
    assert [places.last_before(seq) for seq in (150, 350, 550, 750, 950)] == [100, 300, 500, 700, 900]


def test_what_places_have_in_common_is_stored_once(tmp_path: Path) -> None:
    path = tmp_path / "states.checkpoints"
    places = StateCheckpoints(CheckpointStore(path, print), distance_events=100)
    places.offer(100, marked(100), hash_at)
    with closing(sqlite3.connect(path)) as connection:
        first = connection.execute("SELECT count(*) FROM chunks").fetchone()
        places.offer(200, marked(200), hash_at)
        assert connection.execute("SELECT count(*) FROM chunks").fetchone() == first
        assert connection.execute("SELECT count(*) FROM checkpoints").fetchone() == (2,)


def test_the_file_is_closed_with_the_last_who_uses_it(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "states.checkpoints", print)
    StateCheckpoints(store, distance_events=100).offer(100, marked(100), hash_at)
    connection = store._connection
    assert connection is not None
    del store
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")


def test_a_reader_of_the_file_never_writes_to_it(tmp_path: Path) -> None:
    path = tmp_path / "states.checkpoints"
    reading = StateCheckpoints(CheckpointStore(path, print, only_reads=True), distance_events=100)
    reading.offer(100, marked(100), hash_at)
    assert (reading.last_before(500), path.exists()) == (0, False)
    StateCheckpoints(CheckpointStore(path, print), distance_events=100).offer(100, marked(100), hash_at)
    assert reading.last_before(500) == 100
    assert encode(reading.state(500, STRATEGIES)) == encode(marked(100))
    path.write_bytes(b"no database" * 500)
    reading.store.close()
    for name in ("-wal", "-shm"):
        path.with_name(path.name + name).unlink(missing_ok=True)
    with pytest.raises(SnapshotRefused):
        reading.store.load(100)
    assert path.exists(), "it belongs to another process, which sets it aside"
