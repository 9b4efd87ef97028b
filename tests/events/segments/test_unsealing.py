"""A sealed log becomes one file again, which the version before reads; an upgrade can be undone."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from papertape.events.errors import LogBusy, LogHeld
from papertape.events.failpoints import UNSEAL_FAILPOINTS
from papertape.events.head_file import LogLock
from papertape.events.segments.folder import sealed_folder
from papertape.events.segments.unsealing import unseal
from papertape.events.sqlite_file import SCHEMA, SCHEMA_VERSION, connect_to_read
from papertape.events.sqlite_log import SqliteEventLog
from tests.events.loop import clock_ms
from tests.events.processes import run_until_killed
from tests.events.segments.logs import all_rows, append_rows, seal_up_to, write_sealed

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.events.chain import Row

REACHES = {"seal_leftover_removed": 2}


def read_by_the_version_before(path: Path) -> list[Row]:
    """Read a log as versions without segments do: schema 1, every row in one table, and no table beside it."""
    with closing(sqlite3.connect(":memory:")) as fresh, closing(sqlite3.connect(path)) as raw:
        fresh.executescript(SCHEMA)
        known = "SELECT type, name, sql FROM sqlite_master ORDER BY name"
        assert raw.execute(known).fetchall() == fresh.execute(known).fetchall()
        assert raw.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,) == (1,)
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return raw.execute("SELECT seq, count, recorded_at_ms, events, hash FROM commits ORDER BY seq").fetchall()


def test_a_log_of_the_version_before_is_sealed_and_unsealed_and_has_the_same_rows_and_hashes(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    asyncio.run(write_sealed(path, rows=20, seals=()))
    before = read_by_the_version_before(path)

    async def seal() -> None:
        log = await SqliteEventLog.open(path, clock_ms=clock_ms)
        await seal_up_to(log, 10)
        await seal_up_to(log, 24)
        await log.close()

    asyncio.run(seal())
    with closing(connect_to_read(path)) as connection:
        assert connection.execute("SELECT count(*) FROM commits").fetchone() == (8,)
    assert all_rows(path) == before
    assert unseal(path) == 24
    assert read_by_the_version_before(path) == before == all_rows(path)
    assert {one.name for one in tmp_path.glob("log.db.*")} == {"log.db.head", "log.db.lock"}
    assert unseal(path) == 0

    async def go_on() -> None:
        log = await SqliteEventLog.open(path, clock_ms=clock_ms)
        assert (log.head.seq, log.warnings) == (40, [])
        await append_rows(log, 1)
        await log.close()

    asyncio.run(go_on())
    assert len(all_rows(path)) == 21


@pytest.mark.parametrize(
    "failpoint", [f"{name}:{nth + 1}" for name in UNSEAL_FAILPOINTS for nth in range(REACHES.get(name, 1))]
)
def test_a_kill_at_any_step_leaves_one_of_the_two_forms_whole(tmp_path: Path, failpoint: str) -> None:
    path = tmp_path / "log.db"
    asyncio.run(write_sealed(path, keep_rows=1))
    rows = all_rows(path)
    run_until_killed(failpoint, "unseal", str(path))
    assert all_rows(path) == rows
    unseal(path)
    assert read_by_the_version_before(path) == rows
    assert not sealed_folder(path).exists()


def test_a_log_that_is_written_or_read_is_not_unsealed(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    asyncio.run(write_sealed(tmp_path / "ended.db"))

    async def copy_while_it_is_written() -> None:
        log = await SqliteEventLog.open(tmp_path / "ended.db", clock_ms=clock_ms)
        await append_rows(log, 2)
        for suffix in ("", "-wal"):
            shutil.copy(f"{log.path}{suffix}", f"{path}{suffix}")
        shutil.copytree(sealed_folder(log.path), sealed_folder(path))
        await log.close()

    asyncio.run(copy_while_it_is_written())
    rows = all_rows(path)
    with LogLock(path), pytest.raises(LogHeld):
        unseal(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT max(seq) FROM commits").fetchone()
        with pytest.raises(LogBusy, match="unseal again"):
            unseal(path)
    assert all_rows(path) == rows
    assert not list(tmp_path.glob("*.unsealing*"))


def test_segments_of_another_history_are_left_alone(tmp_path: Path) -> None:
    asyncio.run(write_sealed(tmp_path / "log.db", seals=(6,)))
    asyncio.run(write_sealed(tmp_path / "longer.db", rows=40, seals=(60,)))
    for file in sealed_folder(tmp_path / "longer.db").iterdir():
        shutil.copy(file, sealed_folder(tmp_path / "log.db"))
    unseal(tmp_path / "log.db")
    assert [file.name.split("-")[1] for file in sealed_folder(tmp_path / "log.db").iterdir()] == ["000000000060"]
