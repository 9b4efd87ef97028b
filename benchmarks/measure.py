"""What a measure is, and how times are taken: alternating rounds, medians, one core."""

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
    """One number with its unit, and the target it is held against, if there is one."""

    what: str
    value: str
    target: str = ""
    met: bool | None = None


class Result(Struct):
    """What a measure found, and what has to be known to read it."""

    name: str
    title: str
    load: str = ""
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, what: str, value: str, target: str = "", met: bool | None = None) -> None:
        """Add a figure."""
        self.figures.append(Figure(what, value, target, met))


class Bench(Struct, frozen=True):
    """Where a run keeps its files, and how thorough it is."""

    folder: Path
    quick: bool = False
    full: bool = False

    def choose(self, quick: int, normal: int, full: int | None = None) -> int:
        """A size by thoroughness."""
        if self.quick:
            return quick
        return full if self.full and full is not None else normal


class Timings(Struct):
    """Seconds of every round, by the wall clock and by the processor, and what the system had to do for them."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    system: list[float] = field(default_factory=list)
    """Processor seconds that the kernel of the operating system took, most of them to hand out memory."""
    faults: list[int] = field(default_factory=list)
    """Pages of memory that were touched for the first time."""

    @property
    def best(self) -> int:
        """The round that took the least of the processor."""
        return self.cpu.index(min(self.cpu))

    def note(self, before: struct_rusage, after: struct_rusage) -> None:
        """Add the processor's and the system's part of a round."""
        system = after.ru_stime - before.ru_stime
        self.cpu.append(after.ru_utime - before.ru_utime + system)
        self.system.append(system)
        self.faults.append(after.ru_minflt - before.ru_minflt)

    @property
    def median(self) -> float:
        """Wall seconds of the middle round."""
        return statistics.median(self.wall)

    @property
    def median_cpu(self) -> float:
        """Processor seconds of the middle round."""
        return statistics.median(self.cpu)


def alternate(runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Timings]:
    """Run everything once a round, in turning order, so that what disturbs the machine disturbs all alike."""
    names, times = list(runs), {name: Timings() for name in runs}
    gc.collect()
    gc.freeze()  # What the imports left behind is nobody's work: no collection inside a round walks through it.
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
    """Return how many times as fast the best rounds are, in processor time: a disturbance only makes a round longer."""
    return min(slower.cpu) / min(faster.cpu)


def ratio(slower: Timings, faster: Timings) -> float:
    """How many times as fast: the median of the rounds' own ratios."""
    return statistics.median(a / b for a, b in zip(slower.wall, faster.wall, strict=True))


def percentile(values: list[float], percent: float) -> float:
    """The value that `percent` of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100.0))]


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this process on one core, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def million(a_second: float) -> str:
    """A rate for people."""
    return f"{a_second / 1e6:,.2f} M/s" if a_second >= 1e6 else f"{a_second:,.0f}/s"


def milliseconds(seconds: float) -> str:
    """A time for people."""
    return f"{seconds * 1000.0:,.1f} ms" if seconds < 1.0 else f"{seconds:,.2f} s"


def times_as_fast(factor: float) -> str:
    """A ratio for people."""
    return f"{factor:,.2f}x" if factor < 20.0 else f"{factor:,.0f}x"


def hardware() -> str:
    """The processor, how many cores there are, the system."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line[:10] == "model name"
        ]
        model = names[0] if names else model
    return f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


def load() -> str:
    """How busy the machine is: figures taken on a busy one are worse than the truth."""
    return f"{os.getloadavg()[0]:.1f}"


def versions() -> dict[str, str]:
    """Python and the packages that are compared or relied on, as far as this environment has them."""
    found = {"Python": platform.python_version(), "SQLite": sqlite3.sqlite_version}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
