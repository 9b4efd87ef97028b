"""A copy put in a log's place: killed at any instant, it leaves the old log or the new one."""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from papertape.events.copying import copy_log, put_back
from papertape.events.errors import LogBusy, LogDamaged, LogHeld
from papertape.events.failpoints import RESTORE_FAILPOINTS
from papertape.events.head_file import LogLock, read_head
from papertape.events.sqlite_file import connect_to_read
from papertape.events.sqlite_log import SqliteEventLog, SqliteLogReader
from tests.build import candles
from tests.events.loop import clock_ms
from tests.events.processes import holding, run_until_killed, started
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

OLD_SEQ, NEW_SEQ = 10, 4
KILLS = 10
REACHES = {"restore_unlinked": 4, "restore_laid": 2}
"""How often a restore comes by a place that it passes more than once."""


async def write(path: Path, commits: int) -> None:
    """A log of commits of two events each."""
    log = await SqliteEventLog.open(path, clock_ms=clock_ms)
    for _ in range(commits):
        await log.append(log.head.seq, candles(2, log.head.seq))
    await log.close()


async def opened_seq(path: Path) -> int:
    """Where the log ends that the next engine would find."""
    log = await SqliteEventLog.open(path, clock_ms=clock_ms)
    await log.close()
    return log.head.seq


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A log as a killed engine leaves it, all of it in its -wal, with everything beside it; and an older copy of it."""
    path = tmp_path / "log.db"
    asyncio.run(write(tmp_path / "short.db", NEW_SEQ // 2))
    copy_log(tmp_path / "short.db", tmp_path / "copy.backup")
    with holding(path) as writer:
        writer.kill()
    path.with_name("log.db.cursors").write_text("old")
    path.with_name("log.db.snapshots").mkdir()
    assert path.with_name("log.db-wal").stat().st_size > 0
    return path


def check_one_of_both(db: Path) -> None:
    """The old log or the new one, to its last event, and another restore goes through."""
    with closing(SqliteLogReader(db)) as reader:
        assert reader.head().seq in (OLD_SEQ, NEW_SEQ)
    cursors = db.with_name("log.db.cursors")
    is_new = asyncio.run(opened_seq(db)) == NEW_SEQ
    assert not cursors.exists() or cursors.read_text() == ("new" if is_new else "old")
    put_back(db.parent / "copy.backup", db, replace_newer=True, now_ms=0)
    assert asyncio.run(opened_seq(db)) == NEW_SEQ


@pytest.mark.parametrize(
    "failpoint", [f"{name}:{nth + 1}" for name in RESTORE_FAILPOINTS for nth in range(REACHES.get(name, 1))]
)
def test_a_kill_at_any_step_leaves_the_old_log_or_the_new_one(db: Path, failpoint: str) -> None:
    run_until_killed(failpoint, "restore", str(db))
    check_one_of_both(db)


def test_a_kill_at_any_instant_leaves_the_old_log_or_the_new_one(db: Path) -> None:
    saved, chance = db.parent.with_name("saved"), random.Random(5)
    shutil.copytree(db.parent, saved)
    begun_s = time.monotonic()
    with started("restore", str(db)) as process:
        process.communicate(timeout=PATIENCE_S)
    longest_s = time.monotonic() - begun_s
    for _ in range(KILLS):
        shutil.rmtree(db.parent)
        shutil.copytree(saved, db.parent)
        with started("restore", str(db)) as process:
            time.sleep(chance.uniform(0.0, longest_s))
            process.kill()
        check_one_of_both(db)


def test_the_old_log_is_kept_whole_and_the_new_one_has_its_head(db: Path) -> None:
    head, aside = put_back(db.parent / "copy.backup", db, replace_newer=True, now_ms=0)
    assert (head, read_head(db)) == (read_head(db), head)
    assert aside is not None
    assert asyncio.run(opened_seq(aside / "log.db")) == OLD_SEQ
    assert {path.name for path in db.parent.glob("log.db*")} == {"log.db", "log.db.head", "log.db.lock", aside.name}
    assert {"log.db.cursors", "log.db.snapshots", "log.db.head"} <= {path.name for path in aside.iterdir()}


def test_a_log_in_constant_use_is_not_replaced(db: Path) -> None:
    with closing(connect_to_read(db)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT max(seq) FROM commits").fetchone()
        with pytest.raises(LogBusy, match="is reading the log"):
            put_back(db.parent / "copy.backup", db, replace_newer=True, now_ms=0)
    assert asyncio.run(opened_seq(db)) == OLD_SEQ


def test_a_damaged_log_gives_way_to_a_copy_and_is_kept_as_it_is(db: Path) -> None:
    asyncio.run(opened_seq(db))
    content = bytearray(db.read_bytes())
    content[4_096:] = b"x" * (len(content) - 4_096)
    db.write_bytes(content)
    with pytest.raises(LogDamaged):
        asyncio.run(opened_seq(db))
    _, aside = put_back(db.parent / "copy.backup", db, replace_newer=True, now_ms=0)
    assert asyncio.run(opened_seq(db)) == NEW_SEQ
    assert aside is not None
    assert (aside / "log.db").read_bytes() == bytes(content)


def test_backups_that_lie_beside_the_log_stay_where_they_are(db: Path) -> None:
    copy = db.with_name("log.db-20260101T000000Z-000000000004.backup")
    (db.parent / "copy.backup").rename(copy)
    put_back(copy, db, replace_newer=True, now_ms=0)
    assert copy.exists()


def test_a_link_to_a_log_is_another_name_of_it(db: Path) -> None:
    elsewhere = db.parent / "elsewhere"
    elsewhere.mkdir()
    alias = elsewhere / "alias.db"
    alias.symlink_to(db)
    with LogLock(db), pytest.raises(LogHeld):
        put_back(db.parent / "copy.backup", alias, replace_newer=True, now_ms=0)
    with LogLock(alias), pytest.raises(LogHeld):
        asyncio.run(opened_seq(db))
    assert read_head(alias) == read_head(db) is not None
    put_back(db.parent / "copy.backup", alias, replace_newer=True, now_ms=0)
    assert alias.is_symlink()
    assert asyncio.run(opened_seq(db)) == NEW_SEQ
    assert list(elsewhere.iterdir()) == [alias]
