"""A start is a recovery: whatever happened to the snapshots, the state is the one that the log gives."""

from __future__ import annotations

import shutil
from contextlib import closing
from random import Random
from typing import TYPE_CHECKING

import pytest

from papertape.engine.ports.clock import ManualClock
from papertape.engine.recovery import RecoveredState, recover
from papertape.engine.reducer.reducer import fold
from papertape.engine.reducer.snapshot_codec import encode, state_digest
from papertape.engine.reducer.state import new_state
from papertape.engine.startup import open_engine, snapshot_store
from papertape.engine.strategy_registry import code_digest
from papertape.events.facts import FundingPaid
from papertape.events.log import Head
from papertape.events.snapshots import SnapshotStore
from papertape.events.sqlite_log import SqliteLogReader
from tests.engine.logs import of_type, recorded, story
from tests.engine.parts import BUSY, Given, busy, busy_tape, live, settings
from tests.events.loop import in_loop
from tests.reducer.random_market import Recipe
from tests.support import STRATEGIES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def version() -> str:
    """The code that runs now: asked anew each time, as somebody may be at work on it."""
    return code_digest(STRATEGIES.values())


def come_back(db: Path, until_seq: int | None = None) -> tuple[RecoveredState, list[str]]:
    """The world the way an engine comes to it, and what was warned of."""
    warnings: list[str] = []
    with closing(SqliteLogReader(db)) as reader:
        return recover(reader, snapshot_store(db, warnings.append), STRATEGIES, until_seq), warnings


def from_scratch(db: Path, until_seq: int) -> bytes:
    """The world folded from the first event on, to the last bit."""
    world = new_state(STRATEGIES)
    fold(world, [item for item in recorded(db) if item.seq <= until_seq])
    return encode(world)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of three short lives with three snapshots."""
    db = tmp_path_factory.mktemp("lived") / "log.db"
    write_lives(db)
    return db


@in_loop
async def write_lives(db: Path) -> None:
    tape = busy_tape()
    facts = tape.events()
    for end in (len(facts) // 3, 2 * len(facts) // 3, len(facts)):
        await live(settings(db), Given(tape.contracts, facts[:end]))


@pytest.fixture
def db(lived: Path, tmp_path: Path) -> Path:
    """A copy of that log that may be harmed."""
    shutil.copytree(lived.parent, tmp_path / "copy")
    return tmp_path / "copy" / "log.db"


def snapshots(db: Path) -> list[Path]:
    """The snapshots, newest first."""
    return sorted(db.with_name("log.db.snapshots").glob("*.snapshot"), reverse=True)


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def foreign(path: Path) -> None:
    path.write_bytes(b"PNG" * 1_000)


def mutated(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def future(path: Path) -> None:
    path.replace(path.with_name("00000000000000999999.snapshot"))


def of_another_log(path: Path) -> None:
    """A good state, which stands on an event that this log does not hold."""
    store = SnapshotStore(path.parent, print)
    newest = next(store.newest(version()))
    store.save(newest.seq, b"x" * 32, version(), newest.state)


def of_another_shape(path: Path) -> None:
    seq = int(path.stem)
    with closing(SqliteLogReader(path.parents[1] / "log.db")) as reader:
        row_hash = reader.hash_at(seq)
    assert row_hash is not None
    SnapshotStore(path.parent, print).save(seq, row_hash, version(), b"\x93\x01\x02\x03")


@pytest.mark.parametrize("harm", [torn, empty, foreign, mutated, future, of_another_log, of_another_shape])
def test_a_bad_snapshot_is_set_aside_with_one_warning_and_an_older_one_serves(
    db: Path, harm: Callable[[Path], None]
) -> None:
    newest, older = snapshots(db)[:2]
    harm(newest)
    found, warnings = come_back(db)
    assert len(warnings) == 1, warnings
    assert "was set aside" in warnings[0]
    assert found.snapshot_seq == int(older.stem)
    assert encode(found.state) == from_scratch(db, found.seq)
    assert come_back(db)[1] == [], "it is not warned of twice"


def test_without_any_good_snapshot_the_whole_log_is_replayed(db: Path) -> None:
    whole, _ = come_back(db)
    for harm, path in zip((torn, empty, mutated), snapshots(db), strict=True):
        harm(path)
    found, warnings = come_back(db)
    assert (found.snapshot_seq, found.replayed_events, len(warnings)) == (0, found.seq, 3)
    assert encode(found.state) == encode(whole.state)


def test_losing_every_snapshot_loses_nothing(db: Path) -> None:
    whole, _ = come_back(db)
    shutil.rmtree(db.with_name("log.db.snapshots"))
    found, warnings = come_back(db)
    assert warnings == []
    assert encode(found.state) == encode(whole.state)


def test_snapshots_of_other_code_are_passed_over_with_one_warning_and_kept(db: Path) -> None:
    store = SnapshotStore(db.with_name("log.db.snapshots"), print)
    for snapshot in list(store.newest(version())):
        store.save(snapshot.seq, snapshot.hash, "other code", snapshot.state)
    before = snapshots(db)
    found, warnings = come_back(db)
    assert (found.snapshot_seq, len(warnings)) == (0, 1)
    assert "other code" in warnings[0]
    assert snapshots(db) == before


def test_every_snapshot_leads_to_the_world_of_a_full_replay(db: Path) -> None:
    end = Head(len(recorded(db)))
    for path in snapshots(db):
        found, _ = come_back(db)
        assert found.snapshot_seq == int(path.stem)
        assert encode(found.state) == from_scratch(db, end.seq)
        path.unlink()
    assert come_back(db)[0].snapshot_seq == 0


def test_the_past_at_any_seq_is_the_fold_up_to_there(lived: Path) -> None:
    head = len(recorded(lived))
    chance = Random(1)
    for seq in [1, head, *(chance.randint(1, head) for _ in range(12))]:
        found, _ = come_back(lived, seq)
        assert found.seq == seq
        assert encode(found.state) == from_scratch(lived, seq)


@pytest.mark.parametrize("seed", range(3))
@in_loop
async def test_a_life_cut_into_many_is_one_life(tmp_path: Path, seed: int) -> None:
    tape = busy_tape(Recipe(seed, symbols=2, candles=120, told_of=0.3, late_share=0.05, holes=2))
    facts, chance = tape.events(), Random(seed)
    for _ in range(6):
        await live(settings(tmp_path / "cut.db"), Given(tape.contracts, facts[: chance.randint(1, len(facts))]))
    await live(settings(tmp_path / "cut.db"), Given(tape.contracts, facts))
    await live(settings(tmp_path / "one.db"), Given(tape.contracts, facts))
    cut, one = come_back(tmp_path / "cut.db")[0], come_back(tmp_path / "one.db")[0]
    assert state_digest(cut.state) == state_digest(one.state)


@in_loop
async def test_a_start_far_behind_its_snapshot_saves_one_at_once(tmp_path: Path) -> None:
    """Else an engine that is killed again and again before its first snapshot replays more every time."""
    what = settings(tmp_path / "log.db", snapshot_every_events=200)
    await live(what, busy(BUSY))
    shutil.rmtree(tmp_path / "log.db.snapshots")
    async with open_engine(what, busy_tape().contracts, ManualClock(), print) as running:
        assert running.recovered.replayed_events > 200
        assert running.loop.statistics.snapshots == 1


@pytest.mark.system
@in_loop
async def test_a_life_cut_behind_every_single_fact_is_one_life(tmp_path: Path) -> None:
    """Also between a settlement and the candle that books it: what waits is in the snapshot."""
    tape = busy_tape(Recipe(3, symbols=1, candles=64, told_of=0.9, funding_minutes=30))
    facts = tape.events()
    for end in range(len(facts) + 1):
        await live(settings(tmp_path / "cut.db"), Given(tape.contracts, facts[max(0, end - 1) : end]))
    await live(settings(tmp_path / "one.db"), Given(tape.contracts, facts))
    assert of_type(tmp_path / "one.db", FundingPaid)
    assert story(tmp_path / "cut.db") == story(tmp_path / "one.db")
    cut, one = come_back(tmp_path / "cut.db")[0], come_back(tmp_path / "one.db")[0]
    assert state_digest(cut.state) == state_digest(one.state)
