"""Whatever happens to a log's bytes, a reader sees the true events or a named error, never wrong events."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from papertape.events.chain import row_hash
from papertape.events.codec import CODEC
from papertape.events.errors import LogDamaged, LogError, LogForeign, LogFromNewerVersion
from papertape.events.facts import Event
from papertape.events.head_file import HeadFile, head_path
from papertape.events.log import Head
from papertape.events.memory_log import MemoryEventLog
from papertape.events.sqlite_log import SqliteEventLog, SqliteLogReader
from tests.build import candles
from tests.events.loop import clock_ms, in_loop, open_files

ROWS = 6
FLIPS = 300


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed log of ROWS commits of two events: rows begin at seq 1, 3, 5, 7, 9, 11."""
    asyncio.run(_write(tmp_path / "tape.db"))
    return tmp_path / "tape.db"


async def _write(path: Path) -> None:
    log = await SqliteEventLog.open(path, clock_ms=clock_ms)
    for seq in range(0, 2 * ROWS, 2):
        await log.append(seq, candles(2, seq))
    await log.close()


async def _reopen(path: Path) -> Head:
    log = await SqliteEventLog.open(path, clock_ms=clock_ms)
    await log.close()
    return log.head


def tamper(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        for trigger in ("commits_insert", "commits_update", "commits_delete"):
            raw.execute(f"DROP TRIGGER IF EXISTS {trigger}")
        assert raw.execute(statement).rowcount >= 1


def damage_of(path: Path, after_seq: int = 0) -> LogDamaged:
    with closing(SqliteLogReader(path)) as reader, pytest.raises(LogDamaged) as refused:
        list(reader.commits(after_seq))
    return refused.value


@pytest.mark.parametrize(
    ("statement", "seq"),
    [
        ("UPDATE commits SET events = CAST(replace(events, 'BTCUSDT', 'BTCUSDC') AS BLOB) WHERE seq = 5", 5),
        ("UPDATE commits SET hash = zeroblob(32) WHERE seq = 5", 5),
        ("UPDATE commits SET recorded_at_ms = recorded_at_ms + 1 WHERE seq = 5", 5),
        ("UPDATE commits SET count = 3 WHERE seq = 5", 5),
        ("UPDATE commits SET count = 1 WHERE seq = 5", 5),
        ("UPDATE commits SET seq = 6 WHERE seq = 5", 5),
        ("DELETE FROM commits WHERE seq = 5", 5),
        ("DELETE FROM commits WHERE seq = 1", 1),
        ("DELETE FROM commits WHERE seq < 7", 1),
    ],
)
def test_a_changed_row_is_found_where_it_is(path: Path, statement: str, seq: int) -> None:
    tamper(path, statement)
    assert damage_of(path).seq == seq
    with closing(SqliteLogReader(path)) as reader, pytest.raises(LogDamaged):
        reader.read(0)


def test_a_reader_that_begins_behind_a_row_checks_against_its_hash(path: Path) -> None:
    tamper(path, "UPDATE commits SET hash = zeroblob(32) WHERE seq = 5")
    assert damage_of(path, after_seq=6).seq == 7
    with closing(SqliteLogReader(path)) as reader:
        assert [commit.seq for commit in reader.commits(8)] == [9, 11]


def test_the_last_row_is_checked_at_opening_the_others_when_they_are_read(path: Path) -> None:
    tamper(path, "UPDATE commits SET recorded_at_ms = 0 WHERE seq = 3")
    assert asyncio.run(_reopen(path)).seq == 2 * ROWS
    tamper(path, "UPDATE commits SET recorded_at_ms = 0 WHERE seq = 11")
    with pytest.raises(LogDamaged, match="hash"):
        asyncio.run(_reopen(path))


def cut_rows(path: Path) -> None:
    tamper(path, "DELETE FROM commits WHERE seq >= 9")


def delete_log(path: Path) -> None:
    path.unlink()


def empty_log(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("cut", [cut_rows, delete_log, empty_log])
def test_a_cut_tail_is_noticed_at_opening(path: Path, cut: Callable[[Path], None]) -> None:
    cut(path)
    with pytest.raises(LogDamaged, match="tail was cut off") as refused:
        asyncio.run(_reopen(path))
    assert refused.value.seq == 2 * ROWS


def overwrite(path: Path) -> None:
    path.write_bytes(b"my diary\n" * 1_000)


def spoil_application_id(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[68] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [overwrite, spoil_application_id, empty_log])
def test_a_file_that_is_no_log_beside_a_head_file_is_damage_for_readers_and_writers(
    path: Path, harm: Callable[[Path], None]
) -> None:
    harm(path)
    with pytest.raises(LogDamaged) as refused:
        SqliteLogReader(path)
    assert (refused.value.seq, refused.value.exit_code) == (2 * ROWS, 5)
    with pytest.raises(LogDamaged):
        asyncio.run(_reopen(path))


def test_a_log_whose_head_file_cannot_be_read_does_not_stay_open(path: Path) -> None:
    empty_log(path)
    head_path(path).unlink()
    head_path(path).mkdir()
    with pytest.raises(OSError, match="directory"):
        SqliteLogReader(path)
    assert open_files(path.parent) == []


def test_a_head_file_that_cannot_be_written_does_not_stay_open(tmp_path: Path) -> None:
    full = Path("/dev/full")
    head_path(tmp_path / "tape.db").symlink_to(full)
    before = open_files(full.parent).count(full.name)
    with pytest.raises(LogError, match="No space left"):
        HeadFile(tmp_path / "tape.db", Head(1, bytes(32)))
    assert open_files(full.parent).count(full.name) == before


@pytest.mark.parametrize("harm", [overwrite, spoil_application_id])
def test_without_a_head_file_it_is_a_foreign_file(path: Path, harm: Callable[[Path], None]) -> None:
    head_path(path).unlink()
    harm(path)
    with pytest.raises(LogForeign):
        SqliteLogReader(path)


def test_a_replaced_tail_is_noticed_by_its_hash(path: Path) -> None:
    with closing(SqliteLogReader(path)) as reader:
        previous = reader.hash_at(2 * ROWS - 2)
    assert previous is not None
    blob = CODEC.encode_commit(candles(2, 500))
    forged = row_hash(previous, 11, 2, 0, blob).hex()
    tamper(path, "DELETE FROM commits WHERE seq = 11")
    tamper(path, f"INSERT INTO commits VALUES (11, 2, 0, x'{blob.hex()}', x'{forged}')")
    with pytest.raises(LogDamaged, match="tail was cut off"):
        asyncio.run(_reopen(path))


def test_a_log_ahead_of_its_head_file_was_killed_in_between_and_is_fine(path: Path, tmp_path: Path) -> None:
    shutil.copy(tmp_path / "tape.db.head", tmp_path / "old.head")
    asyncio.run(_append_one(path))
    shutil.copy(tmp_path / "old.head", tmp_path / "tape.db.head")
    assert asyncio.run(_reopen(path)).seq == 2 * ROWS + 1
    shutil.copy(tmp_path / "old.head", tmp_path / "tape.db.head")
    tamper(path, "UPDATE commits SET hash = zeroblob(32) WHERE seq = 11")
    with pytest.raises(LogDamaged):
        asyncio.run(_reopen(path))


async def _append_one(path: Path) -> None:
    log = await SqliteEventLog.open(path, clock_ms=clock_ms)
    await log.append(log.head.seq, candles(1))
    await log.close()


def test_an_event_of_a_newer_version_is_refused_and_the_log_left_as_it_is(path: Path) -> None:
    with closing(SqliteLogReader(path)) as reader:
        head = reader.head()
    blob = msgspec.msgpack.encode(([["CandleClosed.9", 1]], [0]))
    row = f"13, 1, 0, x'{blob.hex()}', x'{row_hash(head.hash, 13, 1, 0, blob).hex()}'"
    tamper(path, f"INSERT INTO commits VALUES ({row})")
    before = path.read_bytes()
    with pytest.raises(LogFromNewerVersion, match=r"CandleClosed\.9") as refused:
        asyncio.run(_reopen(path))
    assert refused.value.seq == damage_of(path).seq == 13
    assert path.read_bytes() == before


def events_in(path: Path) -> list[Event]:
    with closing(SqliteLogReader(path)) as reader:
        reader.verify_tail()
        return [event for commit in reader.commits() for event in commit.events]


def test_a_broken_schema_is_damage_and_not_a_foreign_file(path: Path) -> None:
    with closing(sqlite3.connect(path)) as raw:
        raw.executescript(
            "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = 'CREATE TABEL' WHERE name = 'commits'"
        )
    with pytest.raises(LogDamaged, match="malformed"):
        events_in(path)


@pytest.mark.system
def test_no_flipped_bit_anywhere_in_the_file_gives_other_events(path: Path) -> None:
    good, true_events = path.read_bytes(), events_in(path)
    dice, refused = random.Random(7), 0
    for _ in range(FLIPS):
        place = dice.randrange(len(good))
        path.write_bytes(good[:place] + bytes([good[place] ^ (1 << dice.randrange(8))]) + good[place + 1 :])
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        try:
            assert events_in(path) == true_events
            asyncio.run(_reopen(path))
            assert events_in(path) == true_events
        except LogError:
            refused += 1
    assert refused >= FLIPS // 20


@in_loop
async def test_damage_in_the_memory_log_is_found_the_same_way() -> None:
    log = MemoryEventLog(clock_ms=clock_ms)
    for seq in range(3):
        await log.append(seq, candles(1, seq))
    seq, count, recorded_at_ms, blob, stored_hash = log.rows[1]
    for damaged in ([(seq, count, recorded_at_ms + 1, blob, stored_hash)], []):
        rows = [log.rows[0], *damaged, log.rows[2]]
        log_of_damage = MemoryEventLog(clock_ms=clock_ms)
        log_of_damage.rows.extend(rows)
        with pytest.raises(LogDamaged) as refused:
            list(log_of_damage.reader().commits())
        assert refused.value.seq == 2
