"""The structure of a benchmark, and the measurement of times: alternating rounds, medians, one core."""

from __future__ import annotations

import gc
import os
import platform
import sqlite3
import statistics
import time
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from resource import RUSAGE_SELF, getrusage, struct_rusage
from typing import TYPE_CHECKING

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("numba", "numpy", "msgspec", "aiosqlite", "polars", "vectorbt", "backtesting", "eventsourcing", "pandas")


class Figure(Struct, frozen=True):
    """A number with its unit, and its target if it has one."""

    what: str
    value: str
    target: str = ""
    met: bool | None = None


class Result(Struct):
    """The figures of a benchmark, with notes that explain them."""

    name: str
    title: str
    load: str = ""
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, what: str, value: str, target: str = "", met: bool | None = None) -> None:
        """Add a figure."""
        self.figures.append(Figure(what, value, target, met))


class Bench(Struct, frozen=True):
    """The folder of a run's files, and the run's thoroughness."""

    folder: Path
    quick: bool = False
    full: bool = False

    def choose(self, quick: int, normal: int, full: int | None = None) -> int:
        """Return a size by thoroughness."""
        if self.quick:
            return quick
        return full if self.full and full is not None else normal


class Timings(Struct):
    """Wall and CPU seconds of every round, and the operating system's part of them."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    system: list[float] = field(default_factory=list)
    """CPU seconds in the operating system's kernel, mostly for memory allocation."""
    faults: list[int] = field(default_factory=list)
    """Page faults without disk access: memory pages touched for the first time."""

    @property
    def best(self) -> int:
        """The index of the round with the least CPU time."""
        return self.cpu.index(min(self.cpu))

    def note(self, before: struct_rusage, after: struct_rusage) -> None:
        """Add the CPU time and page faults of a round."""
        system = after.ru_stime - before.ru_stime
        self.cpu.append(after.ru_utime - before.ru_utime + system)
        self.system.append(system)
        self.faults.append(after.ru_minflt - before.ru_minflt)

    @property
    def median(self) -> float:
        """The median of the wall seconds."""
        return statistics.median(self.wall)

    @property
    def median_cpu(self) -> float:
        """The median of the CPU seconds."""
        return statistics.median(self.cpu)


def alternate(runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Timings]:
    """Run everything once per round, in rotating order, so that other load affects all alike."""
    names, times = list(runs), {name: Timings() for name in runs}
    gc.collect()
    gc.freeze()  # No collection inside a round should traverse the objects of the imports.
    for number in range(rounds):
        for place in range(len(names)):
            name = names[(number + place) % len(names)]
            gc.collect()
            wall, before = time.perf_counter(), getrusage(RUSAGE_SELF)
            runs[name]()
            times[name].wall.append(time.perf_counter() - wall)
            times[name].note(before, getrusage(RUSAGE_SELF))
    return times


def best_ratio(slower: Timings, faster: Timings) -> float:
    """Return the speed ratio of the best rounds in CPU time, because a disturbance only makes a round longer."""
    return min(slower.cpu) / min(faster.cpu)


def ratio(slower: Timings, faster: Timings) -> float:
    """Return the speed ratio: the median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(slower.wall, faster.wall, strict=True))


def percentile(values: list[float], percent: float) -> float:
    """Return the value that `percent` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100.0))]


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this process on one core, if the system supports it."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def million(per_second: float) -> str:
    """Format a rate."""
    return f"{per_second / 1e6:,.2f} M/s" if per_second >= 1e6 else f"{per_second:,.0f}/s"


def milliseconds(seconds: float) -> str:
    """Format a duration."""
    return f"{seconds * 1000.0:,.1f} ms" if seconds < 1.0 else f"{seconds:,.2f} s"


def times_as_fast(factor: float) -> str:
    """Format a speed ratio."""
    return f"{factor:,.2f}x" if factor < 20.0 else f"{factor:,.0f}x"


def hardware() -> str:
    """Return the processor, the number of cores, and the operating system."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line[:10] == "model name"
        ]
        model = names[0] if names else model
    return f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


def load() -> str:
    """Return the load of the machine: figures from a busy machine are too slow."""
    return f"{os.getloadavg()[0]:.1f}"


def versions() -> dict[str, str]:
    """Return the versions of Python, SQLite and the relevant installed packages."""
    versions = {"Python": platform.python_version(), "SQLite": sqlite3.sqlite_version}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions
