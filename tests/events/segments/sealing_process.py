"""A process that appends to a log and seals what it appended, until it is killed.

Run as `python -m tests.events.segments.sealing_process PATH`. It prints the seq of every commit that was acknowledged.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from papertape.events.failpoints import VARIABLE
from papertape.events.segments.sealing import next_segment_end, write_next_segment
from papertape.events.sqlite_log import SqliteEventLog
from tests.build import candles
from tests.events.loop import RECORDED_AT_MS, clock_ms
from tests.events.processes import ROOT

SEALED_EVENTS_MIN = 40
DELETED_ROWS_MAX = 3


async def append_for_ever(log: SqliteEventLog) -> None:
    while True:
        await log.append(log.head.seq, candles(2, log.head.seq))
        print(log.head.seq, flush=True)


async def seal_for_ever(log: SqliteEventLog) -> None:
    while True:
        while await log.delete_sealed_rows(DELETED_ROWS_MAX):
            pass
        last_seq = await asyncio.to_thread(next_end, log)
        if last_seq is None:
            await asyncio.sleep(0.001)
            continue
        await log.add_segment(await asyncio.to_thread(write_next_segment, log.path, last_seq, lambda _: None))


def next_end(log: SqliteEventLog) -> int | None:
    with closing(log.reader()) as reader:
        return next_segment_end(reader, RECORDED_AT_MS + 1, SEALED_EVENTS_MIN)


async def main(path: str) -> None:
    log = await SqliteEventLog.open(path, clock_ms=clock_ms)
    async with asyncio.TaskGroup() as group:
        group.create_task(append_for_ever(log))
        group.create_task(seal_for_ever(log))


def started(path: Path, failpoint: str = "") -> subprocess.Popen[str]:
    """Start the process."""
    command = [sys.executable, "-m", "tests.events.segments.sealing_process", str(path)]
    return subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, VARIABLE: failpoint}, text=True, stdout=subprocess.PIPE
    )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
