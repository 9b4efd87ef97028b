"""Crash me: the engine of a simulated market is killed while it works, and recovers its state."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

import pytest

from papertape.cli.service.engine_client import EngineClient
from papertape.events.facts import EngineStarted, EngineStopped
from tests.cli.test_up import UP, child_named
from tests.engine.logs import recorded
from tests.engine.processes import ok, running
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.projections.site.ports import EngineStatus

pytestmark = pytest.mark.system

CRASHES = 3


async def engine_of(door: EngineClient, not_pid: int = 0, beyond_seq: int = 0) -> EngineStatus:
    """Return the status of the next engine once it has another pid and has reached a seq."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            said = await door.status()
            if said is not None and said.pid != not_pid and said.head_seq > beyond_seq:
                return said
            await asyncio.sleep(0.05)


async def crashed(door: EngineClient) -> tuple[EngineStatus, EngineStatus, float]:
    """Crash the engine; return its status before and after, and the seconds in between."""
    before = await engine_of(door)
    started = time.monotonic()
    await door.crash()
    return before, await engine_of(door, not_pid=before.pid), time.monotonic() - started


def test_a_crashed_engine_is_back_at_once_with_the_digest_it_had(tmp_path: Path) -> None:
    db = tmp_path / "log.db"
    lives: list[tuple[EngineStatus, EngineStatus, float]] = []
    with running(tmp_path, *UP, "--set", "feed.sim.symbols=BTCUSDT,ETHUSDT,SOLUSDT", until="opened") as keeper:

        async def crash_often() -> None:
            for _ in range(CRASHES):
                door = EngineClient(db)
                lives.append(await crashed(door))
                await engine_of(door, beyond_seq=lives[-1][1].head_seq + 100)

        asyncio.run(crash_often())
        assert child_named(keeper.pid, "run") == lives[-1][1].pid
        story = recorded(db)
    for before, after, _ in lives:
        assert after.recovered_seq >= before.head_seq
        digest = ok(tmp_path, "replay", "--db", "log.db", "--digest", "--to", str(after.recovered_seq), "--from-start")
        assert digest == f"{after.digest_at_start}\n"
        assert after.recovered_seq - after.snapshot_seq == after.replayed_events
    starts = [item for item in story if isinstance(item.event, EngineStarted)]
    assert [item.seq for item in starts[1:]] == [after.recovered_seq + 1 for _, after, _ in lives]
    assert not any(isinstance(item.event, EngineStopped) for item in story)
    assert all(not os.path.exists(f"/proc/{before.pid}") for before, _, _ in lives)  # noqa: PTH110
    print("back after", [f"{took_s:.2f} s" for _, _, took_s in lives])
