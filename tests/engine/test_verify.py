"""`verify` detects a log whose decisions differ from the code, and names the seq of the first difference."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from papertape.engine.reducer.reducer import is_decision
from papertape.engine.startup import snapshot_store
from papertape.engine.strategy_registry import code_digest
from papertape.engine.verify import VerificationReport, verify
from papertape.events.facts import CandleClosed, OrderPlaced, OrderRejected, PositionOpened
from papertape.events.log import Entry
from papertape.events.snapshots import SnapshotStore
from papertape.events.sqlite_log import SqliteLogReader
from tests.engine.logs import recorded, write
from tests.engine.parts import busy, live, settings
from tests.engine.processes import ok, papertape
from tests.support import STRATEGIES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from papertape.events.facts import Event
    from papertape.events.log import Recorded


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log in which a lot is decided."""
    db = tmp_path_factory.mktemp("honest") / "log.db"
    asyncio.run(live(settings(db, snapshot_every_events=300), busy()))
    return db


def proved(db: Path) -> VerificationReport:
    with closing(SqliteLogReader(db)) as reader:
        return verify(reader, snapshot_store(db, print), STRATEGIES)


def last(events: list[Recorded], fits: Callable[[Event], bool]) -> Recorded:
    """The last event but a few that fits."""
    return [item for item in events if fits(item.event)][-3]


def same(events: list[Recorded]) -> list[Entry]:
    """The log as it is."""
    return [Entry(item.event, item.cause) for item in events]


def without(events: list[Recorded], seq: int) -> list[Entry]:
    """The log without one event; what was caused by later ones still names them."""
    kept = [item for item in events if item.seq != seq]
    return [Entry(item.event, item.cause - (item.cause > seq)) for item in kept]


def with_one_more(events: list[Recorded], seq: int, event: Event, cause: int) -> list[Entry]:
    """The log with one event more, which stands at `seq`."""
    moved = [Entry(item.event, item.cause + (item.cause >= seq)) for item in events]
    return [*moved[: seq - 1], Entry(event, cause), *moved[seq - 1 :]]


def changed(events: list[Recorded], seq: int, event: Event) -> list[Entry]:
    """The log with another event at `seq`."""
    return [Entry(event if item.seq == seq else item.event, item.cause) for item in events]


def test_an_honest_log_is_proved_with_its_snapshots(honest: Path) -> None:
    found = proved(honest)
    assert (found.difference, found.changed_code) == (None, None)
    assert found.head_seq == len(recorded(honest))
    assert found.decisions == sum(is_decision(item.event) for item in recorded(honest)) > 100
    assert found.snapshots >= 2


def test_a_decision_that_was_changed_is_named(honest: Path, tmp_path: Path) -> None:
    events = recorded(honest)
    item = last(events, lambda event: isinstance(event, PositionOpened))
    assert isinstance(item.event, PositionOpened)
    better = replace(item.event, price_usdt=item.event.price_usdt * 0.999)
    asyncio.run(write(tmp_path / "log.db", changed(events, item.seq, better)))
    difference = proved(tmp_path / "log.db").difference
    assert difference is not None
    assert (difference.seq, difference.recorded, difference.decided) == (item.seq, repr(better), repr(item.event))


def test_a_decision_that_was_left_out_is_named(honest: Path, tmp_path: Path) -> None:
    events = recorded(honest)
    item = last(events, lambda event: isinstance(event, OrderPlaced))
    asyncio.run(write(tmp_path / "log.db", without(events, item.seq)))
    difference = proved(tmp_path / "log.db").difference
    assert difference is not None
    assert difference.seq == item.seq - 1
    assert (difference.recorded, difference.decided) == ("nothing more", repr(item.event))


def test_a_decision_that_was_invented_is_named(honest: Path, tmp_path: Path) -> None:
    events = recorded(honest)
    item = last(events, lambda event: isinstance(event, OrderRejected | OrderPlaced))
    asyncio.run(write(tmp_path / "log.db", with_one_more(events, item.seq + 1, item.event, item.cause)))
    difference = proved(tmp_path / "log.db").difference
    assert difference is not None
    assert (difference.seq, difference.recorded, difference.decided) == (item.seq + 1, repr(item.event), "nothing")


def test_a_wrong_cause_is_named(honest: Path, tmp_path: Path) -> None:
    events = recorded(honest)
    item = last(events, lambda event: isinstance(event, PositionOpened))
    entries = [Entry(one.event, one.cause - (one.seq == item.seq)) for one in events]
    asyncio.run(write(tmp_path / "log.db", entries))
    difference = proved(tmp_path / "log.db").difference
    assert difference is not None
    assert (difference.seq, difference.recorded) == (item.seq, f"cause {item.cause - 1}")


@pytest.mark.parametrize("symbol", ["AAA", "nobody listed"])
def test_a_fact_that_stands_twice_or_has_no_contract_is_named(honest: Path, tmp_path: Path, symbol: str) -> None:
    events = recorded(honest)
    item = last(events, lambda event: isinstance(event, CandleClosed) and event.symbol == "AAA")
    again = replace(item.event, symbol=symbol)
    asyncio.run(write(tmp_path / "log.db", [*same(events), Entry(again)]))
    difference = proved(tmp_path / "log.db").difference
    assert difference is not None
    assert (difference.seq, difference.recorded) == (len(events) + 1, repr(again))


def test_a_log_that_begins_with_a_decision_is_named(honest: Path, tmp_path: Path) -> None:
    item = last(recorded(honest), lambda event: isinstance(event, OrderPlaced))
    asyncio.run(write(tmp_path / "log.db", [Entry(item.event)]))
    difference = proved(tmp_path / "log.db").difference
    assert difference is not None
    assert (difference.seq, difference.recorded) == (1, repr(item.event))


def test_a_snapshot_that_tells_another_state_is_named(honest: Path, tmp_path: Path) -> None:
    events, db = recorded(honest), tmp_path / "log.db"
    asyncio.run(write(db, same(events), a_row=1))
    newest = max(snapshot_store(honest, print).newest(proved_version()), key=lambda one: one.seq)
    older = min(snapshot_store(honest, print).newest(proved_version()), key=lambda one: one.seq)
    with closing(SqliteLogReader(db)) as reader:
        row_hash = reader.hash_at(newest.seq)
    assert row_hash is not None
    snapshot_store(db, print).save(newest.seq, row_hash, newest.reducer_version, older.state)
    difference = proved(db).difference
    assert difference is not None
    assert (difference.seq, difference.recorded) == (newest.seq, "a snapshot with another state")


def proved_version() -> str:
    return code_digest(STRATEGIES.values())


def test_the_program_ends_with_1_and_shows_both_sides(tmp_path: Path) -> None:
    ok(tmp_path, "run", "--feed", "sim", "--speed", "max", "--until-end", "--db", "honest.db",
       "--set", "feed.sim.days=1", "feed.sim.warm_up_days=1", "feed.sim.symbols=BTCUSDT,ETHUSDT")  # fmt: skip
    assert "every decision is the same" in ok(tmp_path, "verify", "--db", "honest.db")
    events = recorded(tmp_path / "honest.db")
    item = last(events, is_decision)
    asyncio.run(write(tmp_path / "forged.db", without(events, item.seq)))
    done = papertape(tmp_path, "verify", "--db", "forged.db")
    assert done.returncode == 1, done.stderr
    assert f"first difference at seq {item.seq - 1}" in done.stdout
    assert f"differ at seq {item.seq - 1}" in done.stderr


def test_what_the_same_code_verified_is_counted_and_not_verified_again(honest: Path, tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path / "verified", print)
    with closing(SqliteLogReader(honest)) as reader:
        first = verify(reader, None, STRATEGIES, verified=store)
        again = verify(reader, None, STRATEGIES, verified=store)
        full = verify(reader, None, STRATEGIES, verified=store, full=True)
    assert (first.verified_before, again.verified_before, full.verified_before) == (0, first.head_seq, 0)
    assert first == full == replace(again, verified_before=0)


def test_a_difference_after_what_was_verified_is_found_and_not_remembered(honest: Path, tmp_path: Path) -> None:
    events = recorded(honest)
    changed = last(events, lambda event: isinstance(event, PositionOpened))
    entries = same(events)
    wrong = [*entries[: changed.seq - 1], Entry(replace(changed.event, price_usdt=1.0), changed.cause)]
    whole = [item for item in events if item.seq < changed.seq and not is_decision(item.event)][-1].seq - 1
    store = SnapshotStore(tmp_path / "verified", print)
    for number, (kept, finds) in enumerate([(entries[:whole], False), (wrong, True), (wrong, True)]):
        db = tmp_path / f"{number}" / "log.db"
        db.parent.mkdir()
        asyncio.run(write(db, kept, whole))
        with closing(SqliteLogReader(db)) as reader:
            report = verify(reader, None, STRATEGIES, verified=store)
        assert (report.difference is not None) == finds
        assert report.verified_before == (whole if finds else 0)


def test_a_part_of_another_log_is_not_taken_for_verified(honest: Path, tmp_path: Path) -> None:
    said: list[str] = []
    store = SnapshotStore(tmp_path / "verified", said.append)
    with closing(SqliteLogReader(honest)) as reader:
        report = verify(reader, None, STRATEGIES, verified=store)
        [snapshot] = store.newest(code_digest(STRATEGIES.values()))
        store.save(snapshot.seq, bytes(32), snapshot.reducer_version, snapshot.state)
        again = verify(reader, None, STRATEGIES, verified=store)
    assert (again.verified_before, again.decisions) == (0, report.decisions)
    assert "another event" in said[0]
