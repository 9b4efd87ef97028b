"""A small log, written through the real SQLite log: a trade with its order, a refused signal, a trip, a pause."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from papertape.engine.runner_settings import RunnerSettings, configuration
from papertape.engine.strategy_registry import load_strategies
from papertape.events.facts import EngineStarted, OrderRejected, RunnerPaused
from papertape.events.log import Entry
from papertape.events.sqlite_log import SqliteEventLog
from tests.build import DAY_0_MS, candle, closed, listed, opened, ordered, tripped

if TYPE_CHECKING:
    from pathlib import Path

READINGS = {
    "close": 101.0, "highest": 100.0, "lowest": 90.0, "atr": 0.5, "adx_5m": 30.0, "volume": 50.0,
    "volume_average": 10.0, "adx_15m": 31.5, "plus_di_15m": 40.0, "minus_di_15m": 10.0,
}  # fmt: skip
ORDER, FILL, CLOSING, TRIP, PAUSE, REJECTED, HEAD = 7, 9, 11, 12, 13, 14, 15


def entries() -> list[list[Entry]]:
    """Return the commits of the log; the comment beside each event is its seq."""
    settings = {name: RunnerSettings() for name in ("momentum", "funding", "liquidation")}
    settings["momentum"] = RunnerSettings(parameters={"trend_adx_threshold": 31.0})
    configured = configuration(load_strategies(), [listed("BTCUSDT", (1, 100), (1, 10_000))], settings)
    order = ordered()
    order.readings.clear()
    order.readings.update(READINGS)
    rejected = OrderRejected(DAY_0_MS, "momentum", "BTCUSDT", "short", "cost_to_stop", 0.5, READINGS)
    return [
        [Entry(EngineStarted(DAY_0_MS, "0.1.0", "code", "config")), *map(Entry, configured)],  # 1, 2 to 5
        [Entry(candle(0, 101.0)), Entry(order, 6)],  # 6, 7
        [Entry(candle(1, 100.0)), Entry(opened(), 7)],  # 8, 9
        [Entry(candle(2, 105.0)), Entry(closed(5.0), 10), Entry(tripped("funding"), 10)],  # 10, 11, 12
        [Entry(RunnerPaused(DAY_0_MS, "liquidation", "anna", "holiday"))],  # 13
        [Entry(rejected, 10), Entry(candle(3, 105.5))],  # 14, 15
    ]


def write_log(path: Path, commits: list[list[Entry]] | None = None) -> Path:
    """Write the commits, the small log's unless others are given, to a new log at `path`."""

    async def write() -> None:
        log = await SqliteEventLog.open(path, clock_ms=lambda: time.time_ns() // 1_000_000)
        for commit in entries() if commits is None else commits:
            await log.append(log.head.seq, commit)
        await log.close()

    asyncio.run(write())
    return path
