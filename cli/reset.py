"""`papertape reset`: a human ends a kill switch's trip."""

from __future__ import annotations

import asyncio
import sys
from contextlib import closing
from importlib.metadata import version
from typing import TYPE_CHECKING

from cli.config import load_config, strategies_of
from cli.graph import warn
from engine.boot import EngineSettings, command
from engine.clock import SystemClock
from events.facts import CandleClosed, KillSwitchReset
from events.sqlite_log import SqliteLogReader

if TYPE_CHECKING:
    from pathlib import Path

NEWEST_EVENTS_MAX = 2_000


def end_trip(db: Path | None, config: Path | None, scope: str, trip_seq: int, who: str, why: str) -> None:
    """Write the reset into the log, or say why it is refused."""
    loaded = load_config(config)
    path = db or loaded.database
    settings = EngineSettings(path, version("papertape"), strategies_of(loaded), {})
    reset = KillSwitchReset(_market_ms(path), scope, trip_seq, who, why)
    asyncio.run(command(settings, reset, SystemClock(), warn))
    sys.stdout.write(f"{scope}: the trip at seq {trip_seq} is over\n")


def _market_ms(path: Path) -> int:
    """Market time at the end of the log: the close of its newest candle."""
    with closing(SqliteLogReader(path)) as reader:
        newest = reader.read(max(0, reader.head().seq - NEWEST_EVENTS_MAX))
    times = [recorded.event.at_ms for recorded in newest if isinstance(recorded.event, CandleClosed)]
    return max(times, default=0)
