"""A full disk stops the engine with a clear message, loses nothing acknowledged, and is recoverable."""

from __future__ import annotations

import resource
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from papertape.engine.loop import Loop
from papertape.engine.ports.clock import ManualClock
from papertape.engine.recovery import recover
from papertape.engine.reducer.snapshot_codec import encode
from papertape.engine.startup import open_engine, snapshot_store
from papertape.engine.strategy_registry import code_digest
from papertape.events.bus import Bus
from papertape.events.errors import LogWriteFailed, PapertapeError
from papertape.events.sqlite_log import SqliteEventLog
from tests.engine.logs import digest, recorded, story, trades_csv
from tests.engine.parts import Given, busy, busy_tape, live, settings
from tests.engine.processes import command, environment, ok
from tests.events.loop import in_loop
from tests.patience import PATIENCE_S
from tests.support import STRATEGIES

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

MARKET = (
    "run", "--feed", "sim", "--speed", "max", "--until-end", "--db", "log.db", "--set", "feed.sim.days=1",
    "feed.sim.warm_up_days=1", "engine.snapshot_every_events=1500", "feed.sim.symbols=BTCUSDT,ETHUSDT",
)  # fmt: skip
FULL_BYTES = 400_000


async def fill(db: Path, pages_max: int) -> int:
    """A life on a log that may only grow to so many pages; the seq up to which it was told that all is safe."""
    log = await SqliteEventLog.open(db, clock_ms=ManualClock().now_ms, pages_max=pages_max)
    bus = Bus(log.head.seq)
    try:
        with closing(log.reader()) as reader:
            world = recover(reader, None, STRATEGIES).state
        loop = Loop(world, log, bus, snapshot_store(db, print), code_digest(STRATEGIES.values()), print)
        with pytest.raises(LogWriteFailed, match="the disk is full"):
            await loop.run(Given(busy().contracts(), busy_tape().events()))
        state, head = encode(loop.state), log.head
        with pytest.raises(PapertapeError):
            await loop.take(busy_tape().events())
        assert (encode(loop.state), log.head) == (state, head), "nothing is decided behind the failure"
    finally:
        await log.close()
    return bus.head_seq


@in_loop
async def test_nothing_acknowledged_is_lost_and_the_next_start_goes_on(tmp_path: Path) -> None:
    what = settings(tmp_path / "log.db")
    async with open_engine(what, busy().contracts(), ManualClock(), print):
        pass
    acknowledged = await fill(what.db, pages_max=14)
    assert recorded(what.db)[-1].seq >= acknowledged > 100
    await live(what, busy())
    await live(settings(tmp_path / "whole.db"), busy())
    assert story(what.db) == story(tmp_path / "whole.db")


def test_the_program_ends_with_a_name_and_goes_on_when_there_is_space(tmp_path: Path) -> None:
    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (FULL_BYTES, FULL_BYTES))

    full, free = tmp_path / "full", tmp_path / "free"
    full.mkdir()
    free.mkdir()
    done = subprocess.run(
        command(*MARKET),
        cwd=full,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=small_disk,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: the write failed: ")
    assert "Traceback" not in done.stderr
    ok(full, *MARKET)
    ok(free, *MARKET)
    assert story(full / "log.db") == story(free / "log.db")
    assert digest(full / "log.db") == digest(free / "log.db")
    assert trades_csv(full / "log.db") == trades_csv(free / "log.db")
