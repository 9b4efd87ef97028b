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

LENGTHS = ((200_000, 2_000), (1_000_000, 10_000))
QUICK_LENGTHS = ((15_000, 150), (30_000, 300))
SEEK_S, PAGE_S, HOLD_S, START_S, SEARCH_S = 0.2, 0.05, 0.02, 2.0, 0.1


def timeline(bench: Bench) -> Result:
    """Measure logs of two lengths twice: the first time with nothing kept, and after the next start."""
    lengths = QUICK_LENGTHS if bench.quick else LENGTHS
    result = Result("timeline", f"logs of {lengths[0][0]:,} and {lengths[1][0]:,} events, as the web opens them")
    for events, trades in lengths:
        db = bench.folder / f"timeline-{events}" / "papertape.db"
        db.parent.mkdir()
        trade_log.write(db, events, trades)
        first, again = _measure_once(db), _measure_once(db)
        _starts(result, f"{events:,} events: ", first, again)
        _seeks(result, f"{events:,} events: ", again)
        shutil.rmtree(db.parent)
    _pages(result, again)
    return result


def _measure_once(db: Path) -> TimelineMeasurements:
    """Return the measurements of a fresh process."""
    command = [sys.executable, "-m", "benchmarks.programs.timeline_process", str(db)]
    done = subprocess.run(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, check=True)
    return msgspec.json.decode(done.stdout, type=TimelineMeasurements)


def _starts(result: Result, of: str, first: TimelineMeasurements, again: TimelineMeasurements) -> None:
    begun, held = again.head_s, max(first.longest_hold_s, again.longest_hold_s)
    result.add(f"{of}until the head is available, nothing kept", _with_cpu(first.head_s, first.head_cpu_s))
    result.add(
        f"{of}until the head is available, next start",
        _with_cpu(begun, again.head_cpu_s),
        f"< {START_S:g} s",
        begun < START_S,
    )
    result.add(f"{of}events folded at that start", f"{again.events - again.folded_of:,}")
    result.add(f"{of}longest block of the event loop", milliseconds(held), f"< {milliseconds(HOLD_S)}", held < HOLD_S)
    memory_mb = again.memory_mb - again.memory_before_mb
    result.add(f"{of}memory beyond the program itself", f"{memory_mb:,.0f} MB after all of the following")
    result.add(f"{of}disk", f"{again.disk_mb:,.1f} MB, {again.checkpoints} checkpoints")


def _seeks(result: Result, of: str, measured: TimelineMeasurements) -> None:
    p95 = percentile(measured.seeks_s, 95.0)
    result.add(f"{of}any moment right after a start, p50", _percentile(measured, 50.0))
    result.add(f"{of}any moment right after a start, p95", _percentile(measured, 95.0), f"< {SEEK_S:g} s", p95 < SEEK_S)
    result.add(f"{of}the next event, p50", milliseconds(percentile(measured.steps_s, 50.0)))
    result.add(f"{of}the event of a time, p95", milliseconds(percentile(measured.moments_s, 95.0)))
    found = measured.rare_search_s
    result.add(f"{of}a rare event, found", milliseconds(found), f"< {SEARCH_S:g} s", found < SEARCH_S)
    result.add(f"{of}a rare event, by reading the whole log", milliseconds(measured.whole_search_s))


def _percentile(measured: TimelineMeasurements, percent: float) -> str:
    return _with_cpu(percentile(measured.seeks_s, percent), percentile(measured.seeks_cpu_s, percent))


def _with_cpu(wall_s: float, cpu_s: float) -> str:
    return f"{milliseconds(wall_s)} (processor {milliseconds(cpu_s)})"


def _pages(result: Result, measured: TimelineMeasurements) -> None:
    for name, seconds in measured.pictures_s.items():
        result.add(f"views of a page: {name}", milliseconds(seconds))
    whole = sum(measured.pictures_s.values())
    result.add("all of these", milliseconds(whole), f"< {PAGE_S:g} s", whole < PAGE_S)
