"""Sealed segments: bytes per event, and replay at 50 symbols, against the same rows in SQLite."""

from __future__ import annotations

import asyncio
import statistics
import sys
from contextlib import closing
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from benchmarks.log_grower import NEVER
from benchmarks.market import drawn_symbols, listed, minutes, runners, strategies
from benchmarks.measure import Bench, Result, Timings, alternate, best_ratio, million, one_core, times_as_fast
from papertape.engine.loop import Loop
from papertape.engine.reducer.state import new_state
from papertape.engine.runner_settings import configuration
from papertape.engine.startup import snapshot_store
from papertape.engine.strategy_registry import code_digest
from papertape.events.bus import Bus
from papertape.events.facts import CandleClosed, EngineStarted, Event, MarketFact
from papertape.events.log import Head
from papertape.events.segments.segment_file import SegmentFile, segment_path, write_segment
from papertape.events.sqlite_log import SqliteEventLog, SqliteLogReader

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SYMBOLS = drawn_symbols(50)
WARM_UP_MINUTES = 240
BYTES_MAX, SPEED = 15.0, 5.0


async def _grow(db: Path, events: int, *, one_by_one: bool) -> None:
    """Write a log of the engine's loop, with a commit for each minute or for each fact of the market."""
    log = await SqliteEventLog.open(db, clock_ms=lambda: now_ms)
    now_ms, digest = 0, code_digest(strategies().values())
    loop = Loop(new_state(strategies()), log, Bus(0), snapshot_store(db, print), digest, print, NEVER)
    started: list[Event] = [EngineStarted(0, "benchmark", digest, "")]
    await loop.take([*started, *configuration(strategies(), listed(SYMBOLS), runners())])
    market = minutes(SYMBOLS, warm_up=WARM_UP_MINUTES)
    while log.head.seq < events:
        facts: list[MarketFact] = next(market)
        now_ms = facts[0].at_ms + 400 + facts[0].at_ms // 60_000 * 7_919 % 1_000
        for batch in [[fact] for fact in facts] if one_by_one else [facts]:
            await loop.take(batch)
    await log.close()


def segments(bench: Bench) -> Result:
    """Measure a segment of each kind of log."""
    result = Result("segments", f"sealed history of {len(SYMBOLS)} symbols against the same rows in SQLite")
    for name, one_by_one in (("a commit a minute", False), ("a commit a candle", True)):
        db = bench.folder / f"{one_by_one}.db"
        events = bench.choose(12_000, 131_072) // (4 if one_by_one else 1)
        asyncio.run(_grow(db, events, one_by_one=one_by_one))
        _compare(result, name, db, bench)
    result.notes.append(
        "CPU time of the best rounds, alternating in one process. Typed replay builds every event in CPython, which "
        "no format of the file makes faster; a fold that reads candles as columns builds only the other events."
    )
    return result


def _compare(result: Result, name: str, db: Path, bench: Bench) -> None:
    with closing(SqliteLogReader(db)) as reader:
        rows = list(reader.rows_after(0))
        events = reader.head().seq
        info = write_segment(bench.folder, Head(), rows)
        size = info.size_bytes / events
        result.add(f"{name}: {events:,} events in SQLite", f"{db.stat().st_size / events:.1f} bytes per event")
        result.add(f"{name}: in a segment", f"{size:.2f} bytes per event", f"<= {BYTES_MAX:g}", size <= BYTES_MAX)
        with closing(SegmentFile(segment_path(bench.folder, info), info)) as segment, one_core():
            runs: dict[str, Callable[[], object]] = {
                "SQLite, commits": partial(_read, reader),
                "SQLite, recorded": partial(_record, reader),
                "segment, commits": partial(_read, segment),
                "segment, recorded": partial(_record, segment),
                "segment, columns": partial(_fold, segment),
            }
            times = alternate(runs, bench.choose(3, 9))
            if find_spec("numpy") is not None:
                import_module("numpy")
                quicker = alternate({f"{how}, numpy": runs[how] for how in ("segment, commits", "segment, columns")}, 5)
                times |= quicker
    _show(result, name, events, times)


def _show(result: Result, name: str, events: int, times: dict[str, Timings]) -> None:
    for how, timings in times.items():
        cpu = f"{min(timings.cpu) / events * 1e9:,.0f} ns per event, median {timings.median_cpu / events * 1e9:,.0f} ns"
        result.add(f"{name}: {how}", f"{million(events / min(timings.cpu))}, {cpu}")
    commits, recorded = times["SQLite, commits"], times["SQLite, recorded"]
    for how, base in (("commits", commits), ("recorded", recorded), ("columns", recorded)):
        for suffix in ("", ", numpy"):
            own = times.get(f"segment, {how}{suffix}")
            if own is not None:
                best = best_ratio(base, own)
                median = statistics.median(base.cpu) / own.median_cpu
                shown = f"{times_as_fast(best)}, medians {times_as_fast(median)}"
                result.add(f"{name}: {how}{suffix} against SQLite", shown, f">= {SPEED:g}x", best >= SPEED)


def _read(reader: SqliteLogReader | SegmentFile) -> int:
    return sum(len(commit.events) for commit in reader.commits())


def _record(reader: SqliteLogReader | SegmentFile) -> int:
    return sum(1 for commit in reader.commits() for _ in commit.recorded())


def _fold(segment: SegmentFile) -> float:
    """Find the highest close, and count the events that are no candles."""
    highest, others = 0.0, 0
    for block in segment.blocks():
        others += len(block.others(CandleClosed))
        columns = block.columns(CandleClosed)
        if columns is not None:
            closes = columns.values("close")
            highest = max(highest, sys.modules["numpy"].max(closes) if "numpy" in sys.modules else max(closes))
    return highest + others
