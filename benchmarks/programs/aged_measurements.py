"""Measure what logs of several lengths cost: `python -m benchmarks.programs.aged_measurements LOG...`, shortest first.

It prints a Markdown table: a row per figure, a column per log, and how each figure grows from the first to the last.
The logs are copies that nobody else uses, such as `benchmarks.programs.aged_log` leaves, sealed by `papertape seal`:
views and backups are written beside them. Processor time is comparable on a busy machine, wall time is not.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from benchmarks.measure import ROOT, percentile
from benchmarks.processes import environment
from benchmarks.programs.timeline_process import TimelineMeasurements
from papertape.events.beside import sibling_path
from papertape.events.copying import log_bytes
from papertape.events.sqlite_log import SqliteLogReader

if TYPE_CHECKING:
    from collections.abc import Callable

REPLAYED_EVENTS = 1_000_000
COMMANDS = ("arena", "positions", "trades")


class FinishedProcess(Struct, frozen=True):
    """A process: its seconds of processor and wall time, the most memory it had in MB, and what it printed."""

    cpu_s: float
    wall_s: float
    memory_mb: float
    output: bytes


def run(*command: str) -> FinishedProcess:
    """Run a Python program to its end. Raise CalledProcessError if it fails."""
    begun = time.perf_counter()
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment(), stdout=subprocess.PIPE)
    assert process.stdout is not None, "it was asked for"
    output = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, output)
    return FinishedProcess(used.ru_utime + used.ru_stime, time.perf_counter() - begun, used.ru_maxrss / 1_000, output)


def measure(db: Path) -> dict[str, float]:
    """Return the figures of one log and of its pages by name, with the unit in the name."""
    for suffix in (".folds", ".backups", ".snapshots"):
        shutil.rmtree(sibling_path(db, suffix), ignore_errors=True)
    with closing(SqliteLogReader(db)) as reader:
        events = reader.head().seq
        figures = {"events": float(events), "bytes per event": (log_bytes(db) or 0) / events}
        figures["typed replay, processor us per event"] = _processor_us(partial(_replay, reader))
    first, again = _timeline(db), _timeline(db)
    figures["fold of the views from nothing, processor us per event"] = first.head_cpu_s / events * 1e6
    figures["page usable after a start, s"] = again.head_s
    figures["page usable after a start, processor s"] = again.head_cpu_s
    figures["events folded at that start"] = float(again.events - again.folded_of)
    figures["page memory, MB"] = again.memory_mb
    figures["checkpoints and index, bytes per event"] = again.disk_mb / events * 1e6
    figures["as_of right after a start, p50, processor ms"] = percentile(again.seeks_cpu_s, 50.0) * 1e3
    figures["as_of right after a start, p95, processor ms"] = percentile(again.seeks_cpu_s, 95.0) * 1e3
    figures["as_of right after a start, p95, ms"] = percentile(again.seeks_s, 95.0) * 1e3
    figures["first page of a search, ms"] = again.rare_search_s * 1e3
    for name in COMMANDS:
        figures[f"{name}, processor s"] = run("-m", "papertape", name, "--db", str(db)).cpu_s
    return figures


def measure_proofs(db: Path) -> dict[str, float]:
    """Return the figures of starts, backups and proofs, which fold the whole log the first time."""
    figures: dict[str, float] = {}
    for name in ("engine start, nothing kept", "engine start"):
        figures[f"{name}, processor s"] = run("-m", "benchmarks.programs.boot_process", str(db), "--keep").cpu_s
    for name in ("first backup", "next backup"):
        done = run("-m", "papertape", "backup", "--db", str(db), "--to", str(sibling_path(db, ".backups")))
        figures[f"{name}, processor s"] = done.cpu_s
    for name in ("first verify", "next verify"):
        figures[f"{name}, processor s"] = run("-m", "papertape", "verify", "--db", str(db)).cpu_s
    return figures


def _processor_us(read: Callable[[], int]) -> float:
    """Return the processor time of each event that a function reads; it returns how many there were."""
    begun = time.process_time()
    count = read()
    return (time.process_time() - begun) / count * 1e6


def _replay(reader: SqliteLogReader) -> int:
    count = 0
    for commit in reader.commits():
        count += len(commit.events)
        if count >= REPLAYED_EVENTS:
            break
    return count


def _timeline(db: Path) -> TimelineMeasurements:
    done = run("-m", "benchmarks.programs.timeline_process", str(db), "--no-whole-search")
    return msgspec.json.decode(done.output, type=TimelineMeasurements)


def table(measured: list[dict[str, float]]) -> str:
    """Return the figures as a table in Markdown; growth is the exponent of the length: 0 is flat, 1 is linear."""
    names = [name for name in measured[-1] if name != "events"]
    columns = [f"{one['events'] / 1e6:,.1f} M events" for one in measured]
    lines = [f"| | {' | '.join(columns)} | growth |", f"|---|{'---|' * len(columns)}---|"]
    longer = math.log(measured[-1]["events"] / measured[0]["events"]) if len(measured) > 1 else 0.0
    for name in names:
        values = [one[name] for one in measured]
        grown = values[-1] > 0.0 < values[0] and longer > 0.0
        growth = f"{math.log(values[-1] / values[0]) / longer:.2f}" if grown else "-"
        lines.append(f"| {name} | {' | '.join(f'{value:,.3g}' for value in values)} | {growth} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.programs.aged_measurements", description=__doc__)
    parser.add_argument("logs", type=Path, nargs="+", metavar="LOG")
    parser.add_argument("--no-proofs", action="store_true", help="leave out starts, backups and proofs")
    options = parser.parse_args()
    measured = []
    for log in (one.absolute() for one in options.logs):
        measured.append(measure(log) | ({} if options.no_proofs else measure_proofs(log)))
        sys.stderr.write(f"{log}: {measured[-1]}\n")
    sys.stdout.write(table(measured))
