"""Logs of given lengths, written by the engine's loop on the simulated market, for recovery and replay."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from benchmarks.market import listed, minutes, runners, strategies
from papertape.engine.loop import SNAPSHOT_EVERY_EVENTS, Loop
from papertape.engine.reducer.state import EngineState, new_state
from papertape.engine.runner_settings import configuration
from papertape.engine.startup import snapshot_store
from papertape.engine.strategy_registry import code_digest
from papertape.events.bus import Bus
from papertape.events.facts import CandleClosed, EngineStarted, Event
from papertape.events.sqlite_log import SqliteEventLog

if TYPE_CHECKING:
    from collections.abc import Iterator

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "DOGEUSDT", "GALAUSDT")
BATCH_EVENTS = 2_000
WARM_UP_MINUTES = 2_880
TAIL_EVENTS = SNAPSHOT_EVERY_EVENTS - 500
"""Nearly the maximum number of events after the newest snapshot of a killed engine."""
NEVER = 1 << 62


class GrownLog(Struct, frozen=True):
    """A log of one length: stopped with a snapshot at its head, and killed with a long tail after the snapshot."""

    events: int
    stopped: Path
    killed: Path | None


class LogGrower:
    """Grows one log. The engine's state stays in memory while the files are copied."""

    def __init__(self, folder: Path) -> None:
        self.db = folder / "grow" / "papertape.db"
        self.db.parent.mkdir()
        self.world: EngineState = new_state(strategies())
        self.candles = 0
        self._facts = _facts()

    async def grow(self, events: int, candles: int, *, snapshot: bool) -> int:
        """Grow the log to a number of events and candles; return its length."""
        log = await SqliteEventLog.open(self.db, clock_ms=lambda: 0)
        digest = code_digest(strategies().values())
        loop = Loop(self.world, log, Bus(log.head.seq), snapshot_store(self.db, print), digest, print, NEVER)
        if log.head.seq == 0:
            started = EngineStarted(0, "benchmark", digest, "")
            await loop.take([started, *configuration(strategies(), listed(SYMBOLS), runners())])
        while log.head.seq < events or self.candles < candles:
            await loop.take(self._batch(max(events - log.head.seq, candles - self.candles)))
        if snapshot:
            await loop.snapshot()
            log.sync_head()
        reached = log.head.seq
        await log.close()
        return reached

    def _batch(self, missing: int) -> list[Event]:
        """Return the next minutes for one commit."""
        batch: list[Event] = []
        while len(batch) < min(missing, BATCH_EVENTS):
            batch += next(self._facts)
        self.candles += sum(isinstance(fact, CandleClosed) for fact in batch)
        return batch

    def copy(self, name: str) -> Path:
        """Copy the current files; return the copied log."""
        target = self.db.parent.with_name(name)
        shutil.copytree(self.db.parent, target)
        return target / self.db.name


def _facts() -> Iterator[list[Event]]:
    """Yield the market from its beginning."""
    for facts in minutes(SYMBOLS, warm_up=WARM_UP_MINUTES):
        yield [*facts]


def grow_logs(folder: Path, lengths: list[int]) -> tuple[list[GrownLog], LogGrower]:
    """Return a log of each length, and the grower."""
    grower, logs = LogGrower(folder), []
    for events in lengths:
        killed = None
        if events > 2 * TAIL_EVENTS:
            asyncio.run(grower.grow(events - TAIL_EVENTS, 0, snapshot=True))
            asyncio.run(grower.grow(events, 0, snapshot=False))
            killed = grower.copy(f"killed-{events}")
        reached = asyncio.run(grower.grow(events, 0, snapshot=True))
        logs.append(GrownLog(reached, grower.copy(f"stopped-{events}"), killed))
    return logs, grower
