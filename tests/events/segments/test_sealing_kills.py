"""A process that seals is killed at any step and any moment: every acknowledged event is there, once, byte for byte."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from papertape.events.failpoints import SEAL_FAILPOINTS
from papertape.events.log import Head
from papertape.events.memory_log import MemoryEventLog
from papertape.events.segments.folder import sealed_folder
from papertape.events.sqlite_file import connect_to_read
from papertape.events.sqlite_log import SqliteEventLog, SqliteLogReader
from tests.build import candles
from tests.events.loop import clock_ms
from tests.events.segments.logs import all_rows, append_rows, seal_up_to
from tests.events.segments.sealing_process import started
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.events.chain import Row

pytestmark = pytest.mark.system

KILLS = 12


async def expected_rows(head_seq: int) -> list[Row]:
    """The rows that the process appends, from a log that is never sealed."""
    log = MemoryEventLog(clock_ms=clock_ms)
    while log.head.seq < head_seq:
        await log.append(log.head.seq, candles(2, log.head.seq))
    return log.rows


def check_whole(path: Path, acknowledged: int) -> None:
    """Every row is there once and as it was appended; the log opens, grows, and the seal is completed."""
    with closing(SqliteLogReader(path)) as reader:
        assert acknowledged <= reader.head().seq <= acknowledged + 2
        assert [commit.seq for commit in reader.commits()] == list(range(1, reader.head().seq, 2))

    async def grow_and_seal() -> Head:
        log = await SqliteEventLog.open(path, clock_ms=clock_ms)
        await log.delete_sealed_rows(1_000_000)
        head = await append_rows(log, 3)
        await seal_up_to(log, head.seq - 2)
        await log.close()
        return head

    head = asyncio.run(grow_and_seal())
    assert all_rows(path) == asyncio.run(expected_rows(head.seq))
    with closing(connect_to_read(path)) as connection, closing(SqliteLogReader(path)) as reader:
        assert connection.execute("SELECT seq FROM commits").fetchall() == [(head.seq - 1,)]
        assert reader.sealed_end().seq == head.seq - 2
        listed = reader.segments()
    assert len(list(sealed_folder(path).iterdir())) == len(listed)


@pytest.mark.parametrize("nth", [1, 2, 5])
@pytest.mark.parametrize("failpoint", SEAL_FAILPOINTS)
def test_a_kill_at_any_step_of_a_seal_loses_nothing(tmp_path: Path, failpoint: str, nth: int) -> None:
    with started(tmp_path / "log.db", f"{failpoint}:{nth}") as process:
        said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == -signal.SIGKILL
    check_whole(tmp_path / "log.db", max(map(int, said.split())))


def test_a_kill_at_any_moment_loses_nothing(tmp_path: Path) -> None:
    chance = random.Random(11)
    for number in range(KILLS):
        path = tmp_path / f"{number}" / "log.db"
        path.parent.mkdir()
        with started(path) as process:
            assert process.stdout is not None
            said = [process.stdout.readline()]
            until_s = time.monotonic() + chance.uniform(0.0, 0.4)
            while time.monotonic() < until_s:
                said.append(process.stdout.readline())
            process.kill()
            said += process.stdout.readlines()
        check_whole(path, max(int(line) for line in said if line.endswith("\n")))
