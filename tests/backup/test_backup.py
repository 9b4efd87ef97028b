"""Backups of a log that is being written: each is verified, the oldest are removed, failed ones are not kept."""

from __future__ import annotations

import fcntl
import sqlite3
import subprocess
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from papertape.engine.backup import _folder_lock, list_backups, make_backup, remove_leftovers
from papertape.engine.recovery import recover
from papertape.engine.reducer.snapshot_codec import decode, encode, state_digest
from papertape.engine.startup import snapshot_store
from papertape.engine.strategy_registry import code_digest
from papertape.events.errors import BackupFailed, LogDamaged, LogMissing
from papertape.events.sqlite_log import SqliteLogReader
from tests.engine.logs import STRATEGIES
from tests.engine.processes import command, environment, ok
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.system

READERS = 50
BACKUPS = 5
"""Of one log; ten logs are the fifty."""
MARKET = ("run", "--feed", "sim", "--speed", "max", "--set", "feed.sim.days=400", "--db", "log.db", "--json")


@contextmanager
def engine_at_full_speed(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """An engine that commits as fast as it can, until the block ends."""
    process = subprocess.Popen(
        command(*MARKET), cwd=folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_beyond(folder / "log.db", 1_000)
        yield process
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def wait_beyond(db: Path, seq: int) -> None:
    """Until the engine has committed more than that, however slow the machine is."""
    deadline = time.monotonic() + PATIENCE_S
    while not db.with_name(f"{db.name}.head").exists() or head_seq(db) <= seq:
        assert time.monotonic() < deadline, f"the engine stands still at seq {seq}"
        time.sleep(0.02)


def head_seq(db: Path) -> int:
    with closing(SqliteLogReader(db)) as reader:
        return reader.head().seq


def back_up(folder: Path, now_ms: int, keep: int = 100) -> str:
    db = folder / "log.db"
    store = snapshot_store(db, lambda _: None)
    return make_backup(db, folder / "backups", keep, STRATEGIES, store, now_ms).digest


def digest_at(db: Path, seq: int) -> str:
    with closing(SqliteLogReader(db)) as reader:
        return state_digest(recover(reader, None, STRATEGIES, seq).state)


def backed_up_beside_readers(folder: Path, count: int) -> None:
    """Backups of one log that grows as fast as it can; each is compared with the log at its seq."""
    with engine_at_full_speed(folder) as engine:
        readers = [SqliteLogReader(folder / "log.db") for _ in range(READERS)]
        digests = []
        for number in range(count):
            digests.append(back_up(folder, 1_000_000 + number * 1_000))
            for reader in readers:  # Everybody reads in between: nobody is locked out, nobody holds up the writer.
                assert reader.read(max(0, reader.head().seq - 20))
            assert engine.poll() is None
            wait_beyond(folder / "log.db", list_backups(folder / "backups", "log.db")[-1].seq)
        for reader in readers:
            reader.close()
    found = list_backups(folder / "backups", "log.db")
    seqs = [backup.seq for backup in found]
    assert len(found) == count
    assert seqs == sorted(set(seqs)), "the engine went on between two backups"
    for backup, digest in zip(found, digests, strict=True):
        assert digest_at(folder / "log.db", backup.seq) == digest == digest_at(backup.path, backup.seq)


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("logs", [1, pytest.param(50 // BACKUPS, marks=pytest.mark.slow)])
def test_backups_under_full_load_beside_fifty_readers_each_fold_to_their_seq(tmp_path: Path, logs: int) -> None:
    for number in range(logs):  # A log at full speed soon has a million events: each proof would fold all of them.
        (folder := tmp_path / str(number)).mkdir()
        backed_up_beside_readers(folder, BACKUPS)


def sim_log(folder: Path, days: int = 2) -> Path:
    days_of = f"feed.sim.days={days}"
    one = ("--set", "feed.sim.symbols=BTCUSDT", "--set", days_of)
    ok(folder, "run", "--feed", "sim", "--speed", "max", "--until-end", *one, "--db", "log.db", "--json")
    return folder / "log.db"


def test_only_the_newest_are_kept_and_other_logs_and_files_are_left_alone(tmp_path: Path) -> None:
    sim_log(tmp_path)
    folder = tmp_path / "backups"
    folder.mkdir()
    others = [folder / "notes.txt", folder / "other.db-20260101T000000Z-000000000007.backup", folder / "log.db.backup"]
    for other in others:
        other.write_text("mine")
    for number in range(4):
        back_up(tmp_path, number * 60_000, keep=2)
    assert [backup.at_ms for backup in list_backups(folder, "log.db")] == [120_000, 180_000]
    assert sorted(folder.iterdir()) == sorted([*others, *[one.path for one in list_backups(folder, "log.db")]])


def test_those_of_a_wrong_clock_are_let_go_first_and_the_one_just_made_is_kept(tmp_path: Path) -> None:
    sim_log(tmp_path)
    folder = tmp_path / "backups"
    folder.mkdir()
    for day in range(1, 8):
        (folder / f"log.db-2099010{day}T000000Z-000000000007.backup").touch()
    (folder / "log.db-99999999T999999Z-000000000007.backup").touch()
    for number in range(3):
        back_up(tmp_path, number * 60_000, keep=3)
    assert [backup.at_ms for backup in list_backups(folder, "log.db")] == [0, 60_000, 120_000]


def test_without_room_for_twice_the_log_there_is_no_backup(tmp_path: Path) -> None:
    wal = sim_log(tmp_path).with_name("log.db-wal")
    with wal.open("ab") as file:
        file.truncate(1 << 43)  # A hole, and no room taken: no disk has twice as much free.
    try:
        with pytest.raises(BackupFailed, match="a backup needs twice the log's size, 17,592"):
            back_up(tmp_path, 0)
    finally:
        wal.unlink()  # Whoever reads all files of the tests would read the hole for ever.
    assert list((tmp_path / "backups").iterdir()) == []


def test_what_a_killed_backup_left_is_removed_and_one_that_is_being_made_is_not(tmp_path: Path) -> None:
    sim_log(tmp_path)
    left = tmp_path / "backups" / ".proving-left"
    left.mkdir(parents=True)
    (left / "copy").write_text("half a log")
    with _folder_lock(left.parent, fcntl.LOCK_SH):  # Another one is being made.
        back_up(tmp_path, 0)
        remove_leftovers(left.parent)
        assert left.exists()
    back_up(tmp_path, 60_000)
    assert not left.exists()
    assert len(list_backups(left.parent, "log.db")) == 2


def test_a_damaged_log_gives_no_backup(tmp_path: Path) -> None:
    db = sim_log(tmp_path)
    with closing(sqlite3.connect(db)) as connection:
        connection.execute("DROP TRIGGER commits_update")
        connection.execute("UPDATE commits SET events = zeroblob(20) WHERE seq = (SELECT max(seq) FROM commits)")
        connection.commit()
    with pytest.raises(LogDamaged):
        back_up(tmp_path, 0)
    assert list((tmp_path / "backups").iterdir()) == []


def test_a_copy_that_folds_to_another_state_than_the_living_log_is_not_kept(tmp_path: Path) -> None:
    db = sim_log(tmp_path)
    store = snapshot_store(db, lambda _: None)
    newest = next(iter(store.newest(code_digest(STRATEGIES.values()))))
    world = decode(newest.state, STRATEGIES)
    world.runners[0].account.cash_usdt += 0.01
    store.save(newest.seq, newest.hash, newest.reducer_version, encode(world))
    with pytest.raises(BackupFailed, match="folds to"):
        back_up(tmp_path, 0)
    assert list((tmp_path / "backups").iterdir()) == []


def test_where_there_is_no_log_there_is_no_backup(tmp_path: Path) -> None:
    with pytest.raises(LogMissing):
        back_up(tmp_path, 0)
