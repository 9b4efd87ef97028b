"""The timeline behind the pages: the time until a log's head is available, and the time to reach any moment."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec

from benchmarks import trade_log
from benchmarks.measure import ROOT, Bench, Result, milliseconds, percentile
from benchmarks.processes import environment
from benchmarks.programs.timeline_process import TimelineMeasurements

if TYPE_CHECKING:
    from pathlib import Path

EVENTS, TRADES = 1_000_000, 10_000
QUICK_EVENTS, QUICK_TRADES = 30_000, 300
SEEK_S, PAGE_S, HOLD_S = 0.2, 0.05, 0.02


def timeline(bench: Bench) -> Result:
    """Measure twice: without saved folds, and with those that the first process saved."""
    db = bench.folder / "papertape.db"
    trade_log.write(db, bench.choose(QUICK_EVENTS, EVENTS), bench.choose(QUICK_TRADES, TRADES))
    first = _measure_once(db)
    again = _measure_once(db) if db.with_name(db.name + ".folds").exists() else None
    result = Result("timeline", f"{first.events:,} events with {first.trades:,} closed trades, as the web opens them")
    _starts(result, first, again)
    _seeks(result, first)
    _pages(result, first)
    result.add(
        "memory beyond the program itself",
        f"{first.memory_mb - first.memory_before_mb:,.0f} MB, {first.checkpoints} checkpoints "
        f"every {first.distance_events:,} events",
    )
    shutil.rmtree(db.with_name(db.name + ".folds"), ignore_errors=True)
    return result


def _measure_once(db: Path) -> TimelineMeasurements:
    """Return the measurements of a fresh process."""
    command = [sys.executable, "-m", "benchmarks.programs.timeline_process", str(db)]
    done = subprocess.run(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, check=True)
    return msgspec.json.decode(done.stdout, type=TimelineMeasurements)


def _starts(result: Result, first: TimelineMeasurements, again: TimelineMeasurements | None) -> None:
    result.add("until the head is available, no saved folds", _with_cpu(first.head_s, first.head_cpu_s))
    if again is not None:
        result.add("until the head is available, from saved folds", _with_cpu(again.head_s, again.head_cpu_s))
        result.add("until every moment is near a checkpoint, using half of the time", milliseconds(again.whole_s))
    held = max(one.longest_hold_s for one in (first, again) if one is not None)
    result.add("longest block of the event loop", milliseconds(held), f"< {milliseconds(HOLD_S)}", held < HOLD_S)


def _seeks(result: Result, measured: TimelineMeasurements) -> None:
    p95 = percentile(measured.seeks_s, 95.0)
    result.add("any moment, p50", _percentile(measured, 50.0))
    result.add("any moment, p95", _percentile(measured, 95.0), f"< {SEEK_S:g} s", p95 < SEEK_S)
    result.add("the next event, p50", milliseconds(percentile(measured.steps_s, 50.0)))
    result.add("the event of a time, p50", milliseconds(percentile(measured.moments_s, 50.0)))
    result.add("the event of a time, p95", milliseconds(percentile(measured.moments_s, 95.0)))
    result.add("a fork of all views", milliseconds(measured.fork_s))


def _percentile(measured: TimelineMeasurements, percent: float) -> str:
    return _with_cpu(percentile(measured.seeks_s, percent), percentile(measured.seeks_cpu_s, percent))


def _with_cpu(wall_s: float, cpu_s: float) -> str:
    return f"{milliseconds(wall_s)} (processor {milliseconds(cpu_s)})"


def _pages(result: Result, measured: TimelineMeasurements) -> None:
    for name, seconds in measured.pictures_s.items():
        result.add(f"views of a page: {name}", milliseconds(seconds))
    whole = sum(measured.pictures_s.values())
    result.add("all of these", milliseconds(whole), f"< {PAGE_S:g} s", whole < PAGE_S)
