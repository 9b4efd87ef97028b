"""Write a backtest as a log, with the same rows that a live engine would have written."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from papertape.cli.config.sections import config_digest
from papertape.engine.ports.clock import SystemClock
from papertape.engine.startup import make_folder
from papertape.engine.strategy_registry import code_digest
from papertape.events.facts import EngineStarted, EngineStopped
from papertape.events.log import Entry
from papertape.events.sqlite_log import SqliteEventLog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from papertape.cli.config.sections import Config
    from papertape.engine.research.backtest import Backtest

COMMIT_ENTRIES = 2_048


async def write_log(result: Backtest, path: Path, config: Config, on_progress: Callable[[int], None]) -> None:
    """Write configuration, facts and decisions in the order and with the causes of a live log."""
    clock = SystemClock()
    make_folder(path)
    digest = code_digest(result.world.strategies.values())
    pending = [Entry(EngineStarted(clock.now_ms(), version("papertape"), digest, config_digest(config)))]
    log = await SqliteEventLog.open(path, clock_ms=clock.now_ms)
    try:
        for done, group in enumerate(result.entries(list(pending))):
            pending += group
            if len(pending) >= COMMIT_ENTRIES:
                await log.append(log.head.seq, pending)
                pending = []
                on_progress(done)
        pending.append(Entry(EngineStopped(clock.now_ms(), "the backtest ended")))
        await log.append(log.head.seq, pending)
        log.sync_head()
    finally:
        await log.close()
