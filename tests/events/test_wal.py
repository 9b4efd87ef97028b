"""A -wal that a reader keeps from being checkpointed is measured, attributed to that reader, and recovers."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING

from papertape.events.place import other_users
from papertape.events.sqlite_file import WAL_LONG_BYTES, wal_bytes
from papertape.events.sqlite_log import SqliteEventLog
from tests.build import candles
from tests.events.loop import clock_ms, in_loop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

EVENTS_A_COMMIT = 4_000
COMMITS_MAX = 100
HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True, isolation_level=None)
connection.execute("BEGIN")
connection.execute("SELECT count(*) FROM commits").fetchone()
print("reads", flush=True)
sys.stdin.read()
"""


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqliteEventLog]:
    log = await SqliteEventLog.open(path, clock_ms=clock_ms)
    try:
        yield log
    finally:
        await log.close()


@in_loop
async def test_a_reader_of_an_old_state_is_measured_and_named_and_gone_when_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with opened(path) as log:
        await see_a_holder_come_and_go(log)


async def see_a_holder_come_and_go(log: SqliteEventLog) -> None:
    path = log.path
    await log.append(0, candles(2))
    command = (sys.executable, "-c", HOLDER, str(path))
    holder = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"reads\n"
    await grow(log, WAL_LONG_BYTES)
    blocked = await log.blocked_wal_bytes()
    assert 0 < blocked <= wal_bytes(path)
    assert blocked > WAL_LONG_BYTES // 2
    assert any(f"(process {holder.pid})" in name for name in other_users(path))
    holder.kill()
    await holder.wait()
    assert await log.blocked_wal_bytes() == 0, "what was blocked is moved at the next look"
    assert wal_bytes(path) > WAL_LONG_BYTES, "a file that is still long is no trouble"
    assert other_users(path) == ()


async def grow(log: SqliteEventLog, size: int) -> None:
    """Append until the -wal is longer than that."""
    for _ in range(COMMITS_MAX):
        if wal_bytes(log.path) > 2 * size:
            return
        await log.append(log.head.seq, candles(EVENTS_A_COMMIT, log.head.seq))


@in_loop
async def test_without_such_a_reader_nothing_is_blocked_however_much_is_written(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with opened(path) as log:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as reader:
            for _ in range(30):
                await log.append(log.head.seq, candles(EVENTS_A_COMMIT, log.head.seq))
                assert reader.execute("SELECT count(*) FROM commits").fetchone()[0] > 0
            assert await log.blocked_wal_bytes() == 0
