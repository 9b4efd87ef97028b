"""The time machine of the web: how long until a log's head is there, and how long it takes to any moment of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec

from benchmarks import trade_log
from benchmarks.measure import ROOT, Bench, Result, milliseconds, percentile
from benchmarks.processes import environment
from benchmarks.timeline_process import TimelineMeasurements

if TYPE_CHECKING:
    from pathlib import Path

EVENTS, TRADES = 1_000_000, 10_000
QUICK_EVENTS, QUICK_TRADES = 30_000, 300
SEEK_S, PAGE_S, HOLD_S = 0.2, 0.05, 0.02


def timeline(bench: Bench) -> Result:
    """Twice: without anything kept, and with what the first process kept."""
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
    """What a fresh process says."""
    command = [sys.executable, "-m", "benchmarks.timeline_process", str(db)]
    done = subprocess.run(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, check=True)
    return msgspec.json.decode(done.stdout, type=TimelineMeasurements)


def _starts(result: Result, first: TimelineMeasurements, again: TimelineMeasurements | None) -> None:
    result.add("until the head is there, nothing kept", _with_cpu(first.head_s, first.head_cpu_s))
    if again is not None:
        result.add("until the head is there, from what was kept", _with_cpu(again.head_s, again.head_cpu_s))
        result.add("and until every moment is near, in half of the time", milliseconds(again.whole_s))
    held = max(told.longest_hold_s for told in (first, again) if told is not None)
    result.add("the longest that others wait meanwhile", milliseconds(held), f"< {milliseconds(HOLD_S)}", held < HOLD_S)


def _seeks(result: Result, told: TimelineMeasurements) -> None:
    p95 = percentile(told.seeks_s, 95.0)
    result.add("any moment, p50", _both(told, 50.0))
    result.add("any moment, p95", _both(told, 95.0), f"< {SEEK_S:g} s", p95 < SEEK_S)
    result.add("the next event, p50", milliseconds(percentile(told.steps_s, 50.0)))
    result.add("the event of a time, p50", milliseconds(percentile(told.moments_s, 50.0)))
    result.add("the event of a time, p95", milliseconds(percentile(told.moments_s, 95.0)))
    result.add("a fork of all views", milliseconds(told.fork_s))


def _both(told: TimelineMeasurements, percent: float) -> str:
    return _with_cpu(percentile(told.seeks_s, percent), percentile(told.seeks_cpu_s, percent))


def _with_cpu(wall_s: float, cpu_s: float) -> str:
    return f"{milliseconds(wall_s)} (processor {milliseconds(cpu_s)})"


def _pages(result: Result, told: TimelineMeasurements) -> None:
    for name, seconds in told.pictures_s.items():
        result.add(f"views of a page: {name}", milliseconds(seconds))
    whole = sum(told.pictures_s.values())
    result.add("all of these", milliseconds(whole), f"< {PAGE_S:g} s", whole < PAGE_S)
