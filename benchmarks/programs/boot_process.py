"""A fresh process that opens a log, recovers, builds loop and feed, prints `ready` and exits without a write.

With `--keep` it saves a snapshot of what it recovered, as an engine does while it runs.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from papertape.engine.feeds.sim.feed import SimFeed
from papertape.engine.feeds.sim.script import SimSettings
from papertape.engine.loop import Loop
from papertape.engine.ports.clock import SystemClock
from papertape.engine.recovery import recover
from papertape.engine.startup import snapshot_store
from papertape.engine.strategy_registry import code_digest, load_strategies
from papertape.events.bus import Bus
from papertape.events.sqlite_log import SqliteEventLog


def warn(text: str) -> None:
    """Exit on a warning, which means that the snapshot was not used."""
    sys.exit(f"unexpected: {text}")


async def boot(db: Path, *, keep: bool) -> None:
    """Do everything between the start of the process and the first fact of the feed; `keep` saves a snapshot then."""
    clock = SystemClock()
    strategies = load_strategies()
    log = await SqliteEventLog.open(db, clock_ms=clock.now_ms)
    reader = log.reader()
    recovered = recover(reader, snapshot_store(db, warn), strategies)
    reader.close()
    digest = code_digest(strategies.values())
    loop = Loop(recovered.state, log, Bus(log.head.seq), snapshot_store(db, warn), digest, warn)
    SimFeed(SimSettings(), clock).contracts()
    print(f"ready {recovered.seq} {recovered.replayed_events} {recovered.took_ms:.1f}", flush=True)
    if keep:
        await loop.snapshot()
    await log.close()


if __name__ == "__main__":
    asyncio.run(boot(Path(sys.argv[1]), keep="--keep" in sys.argv[2:]))
