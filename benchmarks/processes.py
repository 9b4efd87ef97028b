"""Whole processes: how long a user waits at the command line, and how much of it is imports."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

from benchmarks.backtests import STRATEGY, count, days
from benchmarks.market import SYMBOL, candles, write_csv
from benchmarks.measure import ROOT, Bench, Result, Timings, milliseconds

TARGET_S = 1.5
IMPORTS_SHOWN = 8
TIMEOUT_S = 300.0


def environment() -> dict[str, str]:
    """Return an environment that finds the sources from any folder and caches their byte code."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**variables, "PYTHONPATH": str(ROOT)}


def backtest_command(path: Path, *options: str) -> list[str]:
    """Return the command of a `papertape backtest` process."""
    command = [sys.executable, *options, "-m", "papertape", "backtest", "--candles", f"{SYMBOL}={path}"]
    return [*command, "--strategy", STRATEGY]


def time_command(command: list[str], folder: Path, rounds: int) -> Timings:
    """Run a command repeatedly."""
    times = Timings()
    for _ in range(rounds):
        before, started = os.times(), time.perf_counter()
        subprocess.run(command, cwd=folder, env=environment(), check=True, capture_output=True, timeout=TIMEOUT_S)
        times.wall.append(time.perf_counter() - started)
        after = os.times()
        spent = after.children_user + after.children_system
        times.cpu.append(spent - before.children_user - before.children_system)
    return times


def imports(command: list[str], folder: Path) -> list[tuple[str, float]]:
    """Return the import seconds by top-level package, slowest first."""
    done = subprocess.run(
        command, cwd=folder, env=environment(), check=True, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    seconds: dict[str, float] = defaultdict(float)
    for line in done.stderr.splitlines():
        parts = line.removeprefix("import time:").split("|")
        if len(parts) == 3 and parts[0].strip().isdigit():
            seconds[parts[2].strip().split(".")[0]] += int(parts[0]) / 1e6
    return sorted(seconds.items(), key=lambda item: -item[1])


def process(bench: Bench) -> Result:
    """Measure a year from a compressed file to the printed table, with the kernel in numba's cache."""
    result = Result("process", f"papertape backtest as a process: {count(bench):,} candles from a .csv.gz")
    path = bench.folder / f"sim_{SYMBOL}_1m.csv.gz"
    write_csv(path, candles(days(bench)))
    time_command(backtest_command(path), bench.folder, 1)
    rounds = bench.choose(3, 9)
    whole = time_command(backtest_command(path), bench.folder, rounds)
    bare = time_command([sys.executable, "-c", "pass"], bench.folder, rounds)
    parts = f"processor {milliseconds(whole.median_cpu)}, quickest {milliseconds(min(whole.wall))}"
    result.add("start to end", f"{milliseconds(whole.median)} ({parts})", f"< {TARGET_S:g} s", whole.median < TARGET_S)
    result.add("of which a bare Python", milliseconds(bare.median))
    slowest = imports(backtest_command(path, "-X", "importtime"), bench.folder)
    result.add("of which imports, as measured by -X importtime", milliseconds(sum(s for _, s in slowest)))
    shown = ", ".join(f"{name} {milliseconds(seconds)}" for name, seconds in slowest[:IMPORTS_SHOWN])
    result.notes.append(f"Imports by package, without what they import in turn: {shown}.")
    return result
