"""Backups of a sealed log share its segments, are proven from the last proof on, and bring everything back."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from papertape.engine.backup import CompletedBackup, list_backups, make_backup, shared_folder
from papertape.engine.recovery import recover
from papertape.engine.reducer.snapshot_codec import state_digest
from papertape.engine.startup import snapshot_store
from papertape.events.copying import put_back
from papertape.events.errors import LogDamaged
from papertape.events.segments.archiving import archive
from papertape.events.segments.folder import sealed_folder
from papertape.events.segments.unsealing import unseal
from papertape.events.sqlite_log import SqliteEventLog, SqliteLogReader
from papertape.events.units import DAY_MS
from tests.engine.logs import STRATEGIES
from tests.engine.processes import ok, papertape
from tests.events.loop import clock_ms
from tests.events.segments.logs import all_rows, seal_up_to

if TYPE_CHECKING:
    from pathlib import Path

NAME = "log.db"
ONE = ("--set", "feed.sim.symbols=BTCUSDT", "--set", "feed.sim.warm_up_days=0")
SIM = ("run", "--feed", "sim", *ONE, "--speed", "max", "--until-end", "--db", NAME, "--json")


@pytest.fixture(scope="module")
def two_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("market")
    ok(folder, *SIM, "--set", "feed.sim.days=2")
    return folder


@pytest.fixture
def db(two_days: Path, tmp_path: Path) -> Path:
    """A log of two days of a market, of which a third is sealed."""
    for path in two_days.glob(f"{NAME}*"):
        (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / path.name)
    seal(tmp_path / NAME, 1 / 3)
    return tmp_path / NAME


def seal(db: Path, part: float) -> None:
    """Seal that part of a log."""

    async def run() -> None:
        log = await SqliteEventLog.open(db, clock_ms=clock_ms)
        with closing(log.reader()) as reader:
            last_seq = reader.end_at_or_before(int(log.head.seq * part)).seq
        await seal_up_to(log, last_seq)
        await log.close()

    asyncio.run(run())


def back_up(db: Path, at_ms: int, keep: int = 3, *, full: bool = False) -> CompletedBackup:
    store = snapshot_store(db, lambda _: None)
    return make_backup(db, db.parent / "backups", keep, STRATEGIES, store, at_ms, full=full)


def segments(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.segment"))


def digest(db: Path) -> str:
    with closing(SqliteLogReader(db)) as reader:
        return state_digest(recover(reader, None, STRATEGIES).state)


def test_a_segment_is_shared_by_all_backups_and_proven_once(db: Path) -> None:
    shared = shared_folder(db.parent / "backups", NAME)
    first = back_up(db, 0)
    [segment] = segments(shared)
    assert (shared / segment).samefile(sealed_folder(db) / segment)
    assert (first.segments, first.proven_seq) == (1, 0)
    second = back_up(db, 60_000)
    assert (second.proven_seq, second.digest) == (int(segment.split("-")[1]), first.digest)
    seal(db, 2 / 3)
    third, fourth = back_up(db, 120_000), back_up(db, 180_000, full=True)
    assert (third.segments, third.proven_seq) == (2, second.proven_seq)
    assert (fourth.proven_seq, fourth.digest) == (0, first.digest)
    assert segments(shared) == segments(sealed_folder(db))
    assert third.bytes < second.bytes
    assert back_up(db, 240_000).proven_seq == int(segments(shared)[1].split("-")[1])


def test_a_restored_backup_has_every_row_on_the_same_disk_and_on_an_empty_box(db: Path, tmp_path: Path) -> None:
    seal(db, 2 / 3)
    rows, backup = all_rows(db), back_up(db, 0)
    assert all_rows(backup.path) == rows, "a backup is read where it lies"
    box = tmp_path / "box"
    shutil.copytree(tmp_path / "backups", box / "copied")
    for path in tmp_path.glob(f"{NAME}*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    ok(box, "restore", f"copied/{backup.path.name}", "--db", NAME)
    shutil.rmtree(box / "copied")
    assert all_rows(box / NAME) == rows
    assert digest(box / NAME) == backup.digest
    ok(box, *SIM, "--set", "feed.sim.days=3")
    assert "every decision is the same" in ok(box, "verify", "--db", NAME)


def test_a_segment_that_no_kept_backup_lists_is_removed(db: Path) -> None:
    shared = shared_folder(db.parent / "backups", NAME)
    back_up(db, 0)
    unseal(db)
    back_up(db, 60_000)
    assert len(segments(shared)) == 1, "the first backup lists it"
    back_up(db, 120_000, keep=2)
    assert segments(shared) == []
    for backup in list_backups(db.parent / "backups", NAME):
        assert all_rows(backup.path) == all_rows(db)


def test_a_backup_that_cannot_be_read_keeps_all_segments(db: Path) -> None:
    back_up(db, 0).path.write_bytes(b"torn")
    unseal(db)
    back_up(db, 60_000)
    assert len(segments(shared_folder(db.parent / "backups", NAME))) == 1


def test_damage_to_a_shared_segment_is_found_by_a_full_backup_and_by_a_restore(db: Path, tmp_path: Path) -> None:
    shared = shared_folder(db.parent / "backups", NAME)
    backup = back_up(db, 0)
    segment = shared / segments(shared)[0]
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.unlink()
    segment.write_bytes(content)
    back_up(db, 60_000)
    with pytest.raises(LogDamaged, match=segment.name):
        back_up(db, 120_000, full=True)
    rows = all_rows(db)
    with pytest.raises(LogDamaged, match=segment.name):
        put_back(backup.path, db, replace_newer=True, now_ms=0)
    assert all_rows(db) == rows
    segment.unlink()
    done = papertape(tmp_path, "restore", str(backup.path), "--db", "other.db")
    assert (done.returncode, segment.name in done.stderr) == (5, True)


def test_backups_keep_an_archived_segment_and_a_restore_does_not_need_the_archive(db: Path, tmp_path: Path) -> None:
    rows = all_rows(db)
    back_up(db, 0)
    [moved] = archive(db, 2**62, tmp_path / "disk")
    (tmp_path / "disk").rename(tmp_path / "unplugged")
    backup = back_up(db, 60_000, keep=1)
    assert backup.proven_seq == moved.last_seq
    put_back(backup.path, tmp_path / "other.db", replace_newer=False, now_ms=DAY_MS)
    assert all_rows(tmp_path / "other.db") == rows


def test_what_a_sealed_log_leaves_behind_is_known_as_the_remains_of_a_log(db: Path) -> None:
    for path in db.parent.glob(f"{NAME}*"):
        if path != sealed_folder(db):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    done = papertape(db.parent, *SIM)
    assert (done.returncode, f"{NAME}.sealed" in done.stderr) == (2, True)
    ok(db.parent, *SIM, "--set", "feed.sim.days=1", "--new-log")
    [aside] = db.parent.glob(f"{NAME}.replaced-*")
    assert len(segments(sealed_folder(aside / NAME))) == 1
