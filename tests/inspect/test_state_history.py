"""The state as of any event equals that of a replay up to it, in whatever order states are requested."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from contextlib import closing, contextmanager
from random import Random
from time import process_time
from typing import TYPE_CHECKING

import pytest
from msgspec import Struct

from papertape.engine.inspect.checkpoints import StateCheckpoints
from papertape.engine.inspect.state_history import QUERIES_WAITING_MAX, STEP_EVENTS_MAX, StateHistory
from papertape.engine.recovery import recover
from papertape.engine.reducer.reducer import is_decision
from papertape.engine.reducer.snapshot_codec import encode, state_digest
from papertape.engine.reducer.state import new_state
from papertape.engine.startup import snapshot_store
from papertape.events.checkpoints.store import CheckpointStore
from papertape.events.errors import LogBusy, LogDamaged, UsageError
from papertape.events.log_thread import LogThread
from papertape.events.snapshots import SnapshotStore
from papertape.events.sqlite_log import SqliteLogReader
from tests.engine.logs import damage, recorded
from tests.engine.parts import busy, live, settings
from tests.events.loop import in_loop
from tests.reducer.random_market import Recipe
from tests.support import STRATEGIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from papertape.engine.kernel.strategy import Strategy

pytestmark = pytest.mark.system

LONG = Recipe(seed=6, symbols=3, candles=2_000, told_of=0.2, late_share=0.01, holes=3, warm_up=100)


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of some thousand events that an engine has written, with snapshots of it."""
    path = tmp_path_factory.mktemp("past") / "log.db"
    asyncio.run(live(settings(path, snapshot_every_events=2_000), busy(LONG)))
    return path


@pytest.fixture(scope="module")
def replayed(db: Path) -> dict[int, str]:
    """The digests that `replay --to SEQ` gives, from the beginning, at some places of all kinds."""
    events, random = recorded(db), Random(1)
    torn = [one.seq for one, following in itertools.pairwise(events) if is_decision(following.event)]
    chosen = {1, 2, len(events), *random.sample(range(1, len(events)), 20), *random.sample(torn, 10)}
    return {seq: replay(db, seq) for seq in sorted(chosen)}


@pytest.fixture(scope="module")
def worlds(db: Path, replayed: dict[int, str]) -> dict[int, bytes]:
    """All that was known at these places, also where in the log it stands, folded from the first event on."""
    with closing(SqliteLogReader(db)) as reader:
        return {seq: encode(recover(reader, None, STRATEGIES, seq).state) for seq in replayed}


def replay(db: Path, seq: int) -> str:
    """The digest as of an event, from the beginning of the log."""
    with closing(SqliteLogReader(db)) as reader:
        return state_digest(recover(reader, None, STRATEGIES, seq).state)


@contextmanager
def past_of(
    db: Path,
    places: StateCheckpoints | None = None,
    snapshots: SnapshotStore | None = None,
    strategies: Mapping[str, Strategy] = STRATEGIES,
) -> Iterator[StateHistory]:
    """A past over a log on disk."""
    thread = LogThread(lambda: SqliteLogReader(db))
    try:
        yield StateHistory(thread, strategies, snapshots, places)
    finally:
        thread.close()


def only_looking(db: Path) -> SnapshotStore:
    """The engine's snapshots, which nobody here may touch."""
    return SnapshotStore(db.with_name(db.name + ".snapshots"), lambda _: None, only_looks=True)


class Way(Struct, frozen=True):
    """How one comes to an event: what was looked at and laid before, and the look just before, so far away."""

    name: str
    distance_events: int = 500
    shares: tuple[float, ...] = ()
    laid: bool = True
    last_look_events: int = 10**9
    snapshots: bool = False
    way_events_max: int = 1_100


WAYS = (
    Way("from the beginning", distance_events=10**9, laid=False, way_events_max=10**9),
    Way("from the place before"),
    Way("from a place that a look has left", shares=(1.0, 0.3, 0.7), laid=False),
    Way("from a place laid behind those of looks", shares=(0.5, 0.9)),
    Way("onwards from the event before", last_look_events=1),
    Way("onwards from a little before", last_look_events=40),
    Way("from a snapshot", distance_events=10**9, laid=False, snapshots=True, way_events_max=10**9),
    Way("from a snapshot or a place", laid=False, snapshots=True, way_events_max=10**9),
)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_every_way_to_an_event_ends_in_the_same_bits(db: Path, worlds: dict[int, bytes], way: Way) -> None:
    async def look() -> None:
        places, head = StateCheckpoints(distance_events=way.distance_events), max(worlds)
        with past_of(db, places, only_looking(db) if way.snapshots else None) as past:
            for share in way.shares:
                await past.query(int(head * share), state_digest)
            if way.laid:
                await past.prefold(head)
            for seq, bits in worlds.items():
                await past.query(max(1, seq - way.last_look_events), state_digest)
                assert seq - past.known_until(seq) <= way.way_events_max
                assert await past.query(seq, encode) == bits, seq
            assert (len(places) > 3) == (way.distance_events < head)

    asyncio.run(look())


@pytest.mark.parametrize("with_snapshots", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_any_look_in_any_order_is_the_replay_up_to_there(
    db: Path, replayed: dict[int, str], seed: int, *, with_snapshots: bool
) -> None:
    async def look() -> None:
        with past_of(db, StateCheckpoints(distance_events=500), only_looking(db) if with_snapshots else None) as past:
            order = [seq for seq in replayed for _ in range(2)]
            Random(seed).shuffle(order)
            for seq in order:
                assert await past.query(seq, state_digest) == replayed[seq], seq
            assert len(past.checkpoints) > 3

    asyncio.run(look())


def test_many_at_once_each_see_their_own_event(db: Path, replayed: dict[int, str]) -> None:
    async def look() -> None:
        with past_of(db) as past:
            found = await asyncio.gather(*(past.query(seq, state_digest) for seq in replayed))
            assert dict(zip(replayed, found, strict=True)) == replayed

    asyncio.run(look())


def test_a_cancelled_caller_does_no_harm(db: Path, replayed: dict[int, str]) -> None:
    async def look() -> None:
        head = max(replayed)
        with past_of(db) as past:
            for steps in range(1, 12):
                looking = asyncio.ensure_future(past.query(head - steps, state_digest))
                for _ in range(steps):
                    await asyncio.sleep(0.003)
                looking.cancel()
                await asyncio.wait([looking])
            for seq, digest in replayed.items():
                assert await past.query(seq, state_digest) == digest

    asyncio.run(look())


def test_it_says_how_far_it_is(db: Path) -> None:
    async def look() -> None:
        with past_of(db) as past:
            head, seen = recorded(db)[-1].seq, set[int]()
            looking = asyncio.ensure_future(past.query(head, state_digest))
            while not looking.done():
                seen.add(past.known_until(head))
                await asyncio.sleep(0)
            assert len(seen) >= 3
            assert max(seen) - min(seen) > STEP_EVENTS_MAX
            assert past.known_until(head) == head

    asyncio.run(look())


def test_it_follows_a_log_that_grows(tmp_path: Path) -> None:
    path = tmp_path / "log.db"

    async def grow() -> None:
        with past_of(path) as past:
            for candles in (50, 150, 300):
                await live(settings(path), busy(Recipe(5, 2, candles, told_of=0.2)))
                head = recorded(path)[-1].seq
                assert await past.query(head, state_digest) == replay(path, head)

    asyncio.run(grow())


def test_what_was_laid_leaves_no_event_far_and_changes_no_answer(db: Path, replayed: dict[int, str]) -> None:
    async def look() -> None:
        head = recorded(db)[-1].seq
        with past_of(db, StateCheckpoints(distance_events=500)) as past:
            laying = asyncio.ensure_future(past.prefold(head))
            for seq, digest in list(replayed.items())[:4]:
                assert await past.query(seq, state_digest) == digest, "a look comes between the steps"
            assert await laying == head
            assert max(seq - past.known_until(seq) for seq in range(1, head)) < 500 + STEP_EVENTS_MAX
            assert len(past.checkpoints) >= head // 1_000
            for seq, digest in replayed.items():
                assert await past.query(seq, state_digest) == digest

    asyncio.run(look())


def test_what_a_look_has_folded_is_not_laid_again(db: Path) -> None:
    async def look() -> None:
        head = recorded(db)[-1].seq
        with past_of(db, StateCheckpoints(distance_events=500)) as past:
            await past.query(head, state_digest)
            known = len(past.checkpoints)
            begun_s = process_time()
            assert await past.prefold(head) == head
            laid_s = process_time() - begun_s
            assert len(past.checkpoints) == known
            begun_s = process_time()
            with past_of(db, StateCheckpoints(distance_events=500)) as other:
                await other.prefold(head)
            assert laid_s < (process_time() - begun_s) / 2

    asyncio.run(look())


def on_disk(folder: Path, warnings: list[str]) -> StateCheckpoints:
    """The places that were laid before, as after a start of the page."""
    return StateCheckpoints(CheckpointStore(folder / "states.checkpoints", warnings.append), distance_events=500)


async def laid(db: Path, folder: Path) -> None:
    with past_of(db, on_disk(folder, [])) as past:
        await past.prefold(recorded(db)[-1].seq)
        past.checkpoints.store.close()


def test_after_a_start_every_event_is_near_at_once(db: Path, worlds: dict[int, bytes], tmp_path: Path) -> None:
    async def look() -> None:
        await laid(db, tmp_path)
        warnings: list[str] = []
        with past_of(db, on_disk(tmp_path, warnings)) as past:
            for seq, bits in worlds.items():
                await past.query(1, state_digest)
                assert seq - past.known_until(seq) < 1_100
                assert await past.query(seq, encode) == bits, seq
        assert not warnings

    asyncio.run(look())


SPOILERS = {
    "chunks torn": "chunks SET packed = zeroblob(length(packed))",
    "chunks mixed up": "chunks SET packed = (SELECT packed FROM chunks ORDER BY length(packed) DESC LIMIT 1)",
    "states torn": "checkpoints SET packed = x'00'",
}


@pytest.mark.parametrize("spoiled", SPOILERS.values(), ids=SPOILERS)
def test_a_damaged_place_is_never_believed(db: Path, replayed: dict[int, str], tmp_path: Path, spoiled: str) -> None:
    async def look() -> None:
        await laid(db, tmp_path)
        with closing(sqlite3.connect(tmp_path / "states.checkpoints")) as connection, connection:
            connection.execute(f"UPDATE {spoiled}")
        warnings: list[str] = []
        with past_of(db, on_disk(tmp_path, warnings)) as past:
            for seq, digest in replayed.items():
                assert await past.query(seq, state_digest) == digest, seq
        assert any("digest" in warning for warning in warnings)

    asyncio.run(look())


def test_the_places_of_another_log_are_not_used(db: Path, tmp_path: Path) -> None:
    async def look() -> None:
        await laid(db, tmp_path)
        other, warnings = tmp_path / "other.db", list[str]()
        await live(settings(other), busy(Recipe(5, 2, 900, told_of=0.2)))
        with past_of(other, on_disk(tmp_path, warnings)) as past:
            for seq in (recorded(other)[-1].seq, 700):
                assert await past.query(seq, state_digest) == replay(other, seq)
        assert any("another event" in warning for warning in warnings)

    asyncio.run(look())


@pytest.mark.parametrize("seq", [0, -1, 10**9])
def test_an_event_that_the_log_does_not_hold_is_refused(db: Path, seq: int) -> None:
    async def look() -> None:
        with past_of(db) as past, pytest.raises(UsageError, match="there is no event"):
            await past.query(seq, state_digest)

    asyncio.run(look())


def test_more_than_can_wait_are_refused_and_the_others_served(db: Path, replayed: dict[int, str]) -> None:
    async def look() -> None:
        with past_of(db) as past:
            asked = [past.query(7, state_digest) for _ in range(QUERIES_WAITING_MAX + 3)]
            found = await asyncio.gather(*asked, return_exceptions=True)
            assert sum(isinstance(one, LogBusy) for one in found) == 3
            assert {one for one in found if isinstance(one, str)} == {replay(db, 7)}
            assert await past.query(2, state_digest) == replayed[2]

    asyncio.run(look())


def test_snapshots_of_another_process_are_looked_at_and_never_touched(db: Path) -> None:
    store = only_looking(db)
    torn = store.folder / f"{recorded(db)[-1].seq + 5:020d}.snapshot"
    torn.write_bytes(b"torn")
    names = sorted(path.name for path in store.folder.iterdir())
    try:

        async def look() -> None:
            with past_of(db, snapshots=store) as past:
                head = recorded(db)[-1].seq
                assert await past.query(head, state_digest) == replay(db, head)
                assert len(past.checkpoints) == 0, "a snapshot was nearer than the beginning"

        asyncio.run(look())
        assert sorted(path.name for path in store.folder.iterdir()) == names
        assert any(snapshot_store(db, lambda _: None).folder.glob("*.snapshot"))
    finally:
        torn.unlink()


def test_a_strategy_that_is_not_there_has_a_stand_in_and_a_later_look_is_whole_again(db: Path) -> None:
    async def look() -> None:
        there = dict(STRATEGIES)
        del there["scripted"]
        with past_of(db, strategies=there) as past:
            for _ in range(2):
                fault = await past.query(500, lambda state: state.runner("scripted").strategy.fault)
                assert "missing" in fault
            assert await past.query(1, state_digest) == state_digest(new_state(there))

    asyncio.run(look())


def test_damage_is_reported_and_earlier_states_stay_available(tmp_path: Path) -> None:
    path = tmp_path / "log.db"

    @in_loop
    async def look() -> None:
        await live(settings(path), busy())
        seq = max(one.seq for one in recorded(path)) // 2
        whole = replay(path, seq - 200)
        damage(path, "UPDATE commits SET recorded_at_ms = 5 WHERE seq > ?", seq)
        with past_of(path) as past:
            for _ in range(2):
                with pytest.raises(LogDamaged):
                    await past.query(seq + 200, state_digest)
            assert await past.query(seq - 200, state_digest) == whole

    look()
