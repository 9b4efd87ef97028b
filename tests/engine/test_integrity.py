"""Whatever happens to the file of a running engine's log is noticed, reported, and ends the engine."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from papertape.engine.integrity import Integrity
from papertape.events.bus import Bus
from papertape.events.errors import LogDamaged, LogReplaced
from papertape.events.proof import read_proof
from papertape.events.sqlite_log import SqliteEventLog
from tests.build import candles
from tests.engine.processes import command, environment, ok, papertape
from tests.engine.test_damage import flip_a_byte
from tests.events.loop import clock_ms
from tests.events.test_damage import tamper
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.system

SOON_S = 0.02
QUICK = ("--set", "feed.sim.days=1", "feed.sim.warm_up_days=0", "feed.sim.symbols=BTCUSDT")
RUN = ("run", "--feed", "sim", "--db", "log.db", *QUICK)
MAX = ("--speed", "max", "--until-end")


def wait_for(comes: Callable[[], bool]) -> None:
    begun_s = time.monotonic()
    while not comes():
        assert time.monotonic() - begun_s < PATIENCE_S, "it does not come"
        time.sleep(SOON_S)


async def watched(
    path: Path, harm: Callable[[Path], None], *, content: bool = False, wait_s_max: float = PATIENCE_S
) -> BaseException | None:
    """What a watcher raises when something happens to the log beside which it watches."""
    log = await SqliteEventLog.open(path, clock_ms=clock_ms)
    bus, warned = Bus(), list[str]()
    try:
        for _ in range(5):
            await log.append(log.head.seq, candles(2, log.head.seq))
        made = Integrity(log, bus, warned.append, "life")
        watching = made.watch_content(SOON_S, SOON_S) if content else made.watch_place(SOON_S)
        task = asyncio.ensure_future(watching)
        if content:
            await asyncio.to_thread(wait_for, lambda: read_proof(path) is not None)
        assert not task.done(), "nothing has happened yet"
        await log.append(log.head.seq, candles(2, log.head.seq))
        harm(path)
        await asyncio.wait({task}, timeout=wait_s_max)
        bus.close()
        await asyncio.wait({task}, timeout=PATIENCE_S)
        assert not warned
        return task.exception()
    finally:
        await log.close()


def leave_alone(_: Path) -> None:
    """Nothing happens."""


def unlink(path: Path) -> None:
    path.unlink()


def move(path: Path) -> None:
    path.rename(path.with_name("moved.db"))


def replace(path: Path) -> None:
    shutil.copy(path, path.with_name("copy.db"))
    path.with_name("copy.db").rename(path)


def unlink_wal(path: Path) -> None:
    path.with_name(f"{path.name}-wal").unlink()


def move_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (unlink, "deleted or moved away"),
        (move, "deleted or moved away"),
        (replace, "another file took the place"),
        (unlink_wal, "-wal was deleted or replaced"),
        (move_folder, "deleted or moved away"),
    ],
)
def test_a_log_that_is_not_where_it_was_opened_is_noticed(
    tmp_path: Path, harm: Callable[[Path], None], words: str
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    error = asyncio.run(watched(folder / "log.db", harm))
    assert isinstance(error, LogReplaced)
    assert words in str(error)


def test_a_link_to_a_log_is_followed_and_one_that_leads_elsewhere_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    link = tmp_path / "log.db"
    link.symlink_to(tmp_path / "far" / "real.db")

    def lead_elsewhere(path: Path) -> None:
        path.unlink()
        (tmp_path / "other.db").write_bytes(b"")
        path.symlink_to(tmp_path / "other.db")

    error = asyncio.run(watched(link, lead_elsewhere))
    assert isinstance(error, LogReplaced)
    error = asyncio.run(watched(tmp_path / "far" / "real.db", unlink))
    assert isinstance(error, LogReplaced)


def test_a_log_that_is_left_alone_ends_both_watchers_with_the_bus(tmp_path: Path) -> None:
    for content in (False, True):
        assert asyncio.run(watched(tmp_path / f"{content}.db", leave_alone, content=content, wait_s_max=0.5)) is None


def test_rows_appended_while_running_are_read_back_and_damage_is_found(tmp_path: Path) -> None:
    def spoil(path: Path) -> None:
        tamper(path, "UPDATE commits SET recorded_at_ms = recorded_at_ms + 1 WHERE seq = 11")

    error = asyncio.run(watched(tmp_path / "log.db", spoil, content=True))
    assert isinstance(error, LogDamaged)
    assert error.seq == 11


@pytest.fixture
def lived(tmp_path: Path) -> Path:
    """The folder of a good log with snapshots."""
    ok(tmp_path, *RUN, *MAX)
    assert list((tmp_path / "log.db.snapshots").glob("*.snapshot"))
    return tmp_path


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """An engine at the pace of a market, and its first commits."""
    arguments = command(*RUN, "--speed", "60")
    with subprocess.Popen(arguments, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE) as process:
        wait_for((tmp_path / "log.db-wal").exists)
        try:
            yield process
        finally:
            process.kill()


def test_damage_before_the_newest_snapshot_stops_the_engine_by_name_and_it_does_not_start_again(lived: Path) -> None:
    seq, reason = flip_a_byte(lived / "log.db")
    # The market of the first run is over: this one stays up, until the row is read.
    done = papertape(lived, *RUN, "--speed", "60")
    assert done.returncode == 5, done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"error: the log is damaged at seq {seq}: the row {reason}")
    told = (lived / "log.db.alerts.log").read_text()
    assert "STOPPED BY A FAULT" in told
    assert f"damaged at seq {seq}" in told
    assert "the log is whole" not in told
    size = (lived / "log.db").stat().st_size
    for again in (
        papertape(lived, *RUN, "--speed", "60"),
        papertape(lived, "pause", "momentum", "--db", "log.db", "--why", "x"),
    ):
        assert again.returncode == 5
        assert f"the log is damaged at seq {seq}" in again.stderr
    assert (lived / "log.db").stat().st_size == size


def test_a_log_deleted_under_a_running_engine_stops_it_and_alerts_its_owner(
    running: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    wait_for((tmp_path / "log.db.proof").exists)
    (tmp_path / "log.db").unlink()
    _, said = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 1, said
    assert b"was deleted or moved away" in said
    assert "deleted or moved away" in (tmp_path / "log.db.alerts.log").read_text()


def test_the_reader_in_the_background_ends_with_a_killed_engine(
    running: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    wait_for(lambda: not readers_of(tmp_path / "log.db"))


def readers_of(db: Path) -> list[str]:
    """The command lines of the processes that prove this log."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if "papertape.events.proving" in line and str(db) in line]
