"""The live engine at a minute's boundary: from the facts to their commit, with the real log and loop."""

from __future__ import annotations

import asyncio
import gc
import time
from itertools import islice
from typing import TYPE_CHECKING

from benchmarks.market import drawn_symbols, listed, minutes, runners, strategies
from benchmarks.measure import Bench, Result, milliseconds, percentile
from papertape.engine.loop import Loop
from papertape.engine.reducer.state import new_state
from papertape.engine.runner_settings import configuration
from papertape.engine.startup import snapshot_store
from papertape.engine.strategy_registry import code_digest
from papertape.events.bus import Bus
from papertape.events.sqlite_log import SqliteEventLog

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.events.facts import Event

SYMBOLS = 50
WARM_UP_MINUTES = 1_500
BATCH_MINUTES = 20
TARGET_S = 0.05
SOON_MS = 5


async def measure_boundaries(db: Path, count: int) -> tuple[list[float], list[float], int]:
    """Return the seconds of boundaries in one batch, of boundaries fact by fact, and the number of decisions."""
    log = await SqliteEventLog.open(db, clock_ms=lambda: 0)
    digest = code_digest(strategies().values())
    loop = Loop(new_state(strategies()), log, Bus(), snapshot_store(db, print), digest, print)
    await loop.take(configuration(strategies(), listed(drawn_symbols(SYMBOLS)), runners()))
    market = minutes(drawn_symbols(SYMBOLS), warm_up=WARM_UP_MINUTES)
    for _ in range(WARM_UP_MINUTES // BATCH_MINUTES):
        await loop.take([fact for facts in islice(market, BATCH_MINUTES) for fact in facts])
    whole, singly, before, facts_in = [], [], log.head.seq, 0
    gc.collect()
    for number in range(2 * count):
        facts: list[Event] = [*next(market)]
        facts_in += len(facts)
        started = time.perf_counter()
        if number < count:
            await loop.take(facts)
            whole.append(time.perf_counter() - started)
        else:
            for fact in facts:
                await loop.take([fact])
            singly.append(time.perf_counter() - started)
        await asyncio.sleep(SOON_MS / 1000.0)
    decisions = log.head.seq - before - facts_in
    await log.close()
    return whole, singly, decisions


def live(bench: Bench) -> Result:
    """Measure fifty symbols and four strategies for some hours of minutes."""
    count = bench.choose(60, 400)
    result = Result(
        "live", f"{SYMBOLS} symbols x {len(strategies())} strategies at a minute's boundary, fact to commit"
    )
    whole, singly, decisions = asyncio.run(measure_boundaries(bench.folder / "live.db", count))
    for name, values, target in (
        ("all facts of the minute at once", whole, True),
        ("fact by fact, the last one", singly, False),
    ):
        for percent in (50.0, 99.0):
            seconds = percentile(values, percent)
            has_target = target and percent == 99.0
            goal = f"< {milliseconds(TARGET_S)}" if has_target else ""
            result.add(f"{name}, p{percent:g}", milliseconds(seconds), goal, seconds < TARGET_S if has_target else None)
    result.notes.append(
        f"{count:,} boundaries each way, every fifth with open interest; {decisions:,} decisions; snapshots are "
        "saved as in a live engine."
    )
    return result
