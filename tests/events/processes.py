"""Processes for the tests of this room: one that holds a log, one that dies at a failpoint.

Run as `python -m tests.events.processes ROLE PATH`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from papertape.events.copying import put_back
from papertape.events.failpoints import VARIABLE
from papertape.events.log import Head
from papertape.events.segments.archiving import archive
from papertape.events.segments.unsealing import unseal
from papertape.events.snapshots import SnapshotStore
from papertape.events.sqlite_log import SqliteEventLog
from papertape.events.units import DAY_MS
from tests.build import candles
from tests.events.loop import clock_ms
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
APPENDS = 5


async def write_then_wait(path: str) -> None:
    """Append commits of two events, say so, and hold the log until the input ends."""
    log = await SqliteEventLog.open(path, clock_ms=clock_ms)
    for _ in range(APPENDS):
        await log.append(log.head.seq, candles(2, log.head.seq))
        print(log.head.seq, flush=True)
    sys.stdin.read()
    await log.close()


def lay_beside(staged: Path, head: Head) -> Head:
    """A file that takes its place with the log."""
    staged.with_name(f"{staged.name}.cursors").write_text("new")
    return head


def main(role: str, path: str) -> None:
    """Play the role."""
    if role == "log":
        asyncio.run(write_then_wait(path))
    if role == "restore":
        put_back(Path(path).parent / "copy.backup", Path(path), replace_newer=True, now_ms=0, amend=lay_beside)
    if role == "unseal":
        unseal(Path(path))
    if role == "archive":
        archive(Path(path), 9 * DAY_MS, Path(path).parent / "disk")
    if role == "snapshot":
        SnapshotStore(path, print).save(2, bytes(32), "r1", b"newer")


def started(role: str, path: str, failpoint: str = "") -> subprocess.Popen[str]:
    """The process of a role."""
    command = [sys.executable, "-m", "tests.events.processes", role, path]
    environment = {**os.environ, VARIABLE: failpoint}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def run_until_killed(failpoint: str, role: str, path: str) -> list[str]:
    """The lines that the process said before the failpoint ended it."""
    with started(role, path, failpoint) as process:
        said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == -signal.SIGKILL, process.returncode
    return said.split()


@contextmanager
def holding(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has appended all it had and still holds the log."""
    with started("log", str(path)) as process:
        assert process.stdout is not None
        for _ in range(APPENDS):
            process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


if __name__ == "__main__":
    main(*sys.argv[1:])
