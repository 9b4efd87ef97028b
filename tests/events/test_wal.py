"""A -wal that somebody keeps from being moved into the log is measured, with who does it, and heals."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from typing import TYPE_CHECKING

from events.place import other_users
from events.sqlite_file import WAL_LONG_BYTES, wal_bytes
from events.sqlite_log import SqliteEventLog
from tests.events.tape import candles, clock_ms, in_loop

if TYPE_CHECKING:
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


@in_loop
async def test_a_reader_of_an_old_state_is_measured_and_named_and_gone_when_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = await SqliteEventLog.open(path, clock_ms=clock_ms)
    await log.append(0, candles(2))
    command = (sys.executable, "-c", HOLDER, str(path))
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    holder = await asyncio.create_subprocess_exec(*command, **pipes)
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"reads\n"
    await grow(log, WAL_LONG_BYTES)
    blocked = await log.blocked_wal_bytes()
    assert 0 < blocked <= wal_bytes(path)
    assert blocked > WAL_LONG_BYTES // 2
    assert [name for name in other_users(path) if f"(process {holder.pid})" in name] or not os.path.isdir("/proc")
    await holder.communicate()
    assert await log.blocked_wal_bytes() == 0, "what was blocked is moved at the next look"
    assert wal_bytes(path) > WAL_LONG_BYTES, "a file that is still long is no trouble"
    assert other_users(path) == ()
    await log.close()


async def grow(log: SqliteEventLog, size: int) -> None:
    """Append until the -wal is longer than that."""
    for _ in range(COMMITS_MAX):
        if wal_bytes(log.path) > 2 * size:
            return
        await log.append(log.head.seq, candles(EVENTS_A_COMMIT, log.head.seq))


@in_loop
async def test_without_such_a_reader_nothing_is_blocked_however_much_is_written(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = await SqliteEventLog.open(path, clock_ms=clock_ms)
    reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    for _ in range(30):
        await log.append(log.head.seq, candles(EVENTS_A_COMMIT, log.head.seq))
        assert reader.execute("SELECT count(*) FROM commits").fetchone()[0] > 0
    assert await log.blocked_wal_bytes() == 0
    reader.close()
    await log.close()
