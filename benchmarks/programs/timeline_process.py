"""Open a log in a fresh process as the web does, and measure it: `-m benchmarks.programs.timeline_process DB`."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct, field

from papertape.api.views.history import run_search
from papertape.cli.service.gc_freeze import GcFreeze
from papertape.cli.service.page_timeline import timeline_of
from papertape.events.beside import sibling_path
from papertape.projections.alerts.settings import AlertSettings
from papertape.projections.persistence.fork import fork
from papertape.projections.site.event_query import EventFilter, Search

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from papertape.projections.site.timeline import LogTimeline
    from papertape.projections.site.views import Views

SEED = 3
SEEKS = 300
STEPS = 100
PICTURES = 20
TURN_S = 0.001
STATM_RESIDENT = 1
NO_WHOLE_SEARCH = "--no-whole-search"


class TimelineMeasurements(Struct):
    """The measurements of one process. Times are in seconds of wall time, or of CPU time where the name says so."""

    events: int = 0
    trades: int = 0
    folded_of: int = 0
    head_s: float = 0.0
    head_cpu_s: float = 0.0
    longest_hold_s: float = 0.0
    fork_s: float = 0.0
    memory_before_mb: float = 0.0
    memory_mb: float = 0.0
    checkpoints: int = 0
    disk_mb: float = 0.0
    rare_search_s: float = 0.0
    whole_search_s: float = 0.0
    seeks_s: list[float] = field(default_factory=list)
    seeks_cpu_s: list[float] = field(default_factory=list)
    steps_s: list[float] = field(default_factory=list)
    moments_s: list[float] = field(default_factory=list)
    pictures_s: dict[str, float] = field(default_factory=dict)


def memory_mb() -> float:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[STATM_RESIDENT])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@asynccontextmanager
async def running(timeline: LogTimeline) -> AsyncIterator[None]:
    """Run the timeline for the duration of the block."""
    task = asyncio.ensure_future(timeline.run())
    try:
        yield
    finally:
        timeline.close()
        await task


async def measure(db: Path) -> TimelineMeasurements:
    """Open the log, wait for the head, then seek at once, search and make views."""
    gc.freeze()  # This and the next line: as the web does.
    gc.callbacks.append(GcFreeze())
    measured = TimelineMeasurements(memory_before_mb=memory_mb())
    timeline = timeline_of(db, {}, AlertSettings(), _warn)
    async with running(timeline):
        await _start(timeline, measured)
        await _seek(timeline, measured)
        await _search(timeline, measured)
        _draw(timeline.views, measured)
        while not timeline.statistics().near_everywhere:
            await _turn(measured)
        measured.memory_mb, measured.checkpoints = memory_mb(), timeline.statistics().checkpoints
    files = sibling_path(db, ".folds").rglob("*")
    measured.disk_mb = sum(file.stat().st_size for file in files if file.is_file()) / 1e6
    return measured


def _warn(text: str) -> None:
    sys.exit(f"unexpected: {text}")


async def _start(timeline: LogTimeline, measured: TimelineMeasurements) -> None:
    """Measure until the head is available, and the longest block of the event loop."""
    wall, cpu = time.perf_counter(), time.process_time()
    measured.folded_of = await timeline.wait_beyond(0)
    while timeline.views.seq < timeline.head_seq:
        await _turn(measured)
    measured.head_s, measured.head_cpu_s = time.perf_counter() - wall, time.process_time() - cpu
    measured.events, measured.trades = timeline.views.seq, len(timeline.views.trades.closed())
    measured.fork_s = _seconds(lambda: fork(timeline.views))


async def _turn(measured: TimelineMeasurements) -> None:
    """Wait for the next turn of the loop. Time that the system gave to other processes does not count as a block."""
    held = time.thread_time()
    await asyncio.sleep(TURN_S)
    measured.longest_hold_s = max(measured.longest_hold_s, time.thread_time() - held)


async def _seek(timeline: LogTimeline, measured: TimelineMeasurements) -> None:
    random = Random(SEED)
    for _ in range(SEEKS):
        seq = random.randint(1, measured.events)
        cpu = time.process_time()
        measured.seeks_s.append(await _awaited(lambda moment=seq: timeline.as_of(moment)))  # type: ignore[misc]
        measured.seeks_cpu_s.append(time.process_time() - cpu)
    middle = measured.events // 2
    for seq in range(middle, middle + STEPS):
        measured.steps_s.append(await _awaited(lambda moment=seq: timeline.as_of(moment)))  # type: ignore[misc]
    first_ms = (await timeline.as_of(measured.events // 100)).at_ms
    for _ in range(STEPS):
        at_ms = random.randint(first_ms, timeline.views.at_ms)
        measured.moments_s.append(await _awaited(lambda moment=at_ms: timeline.seq_at(moment)))  # type: ignore[misc]


async def _search(timeline: LogTimeline, measured: TimelineMeasurements) -> None:
    """Measure the search for an event that occurs only at the beginning, with the index and by reading all events."""
    choice = EventFilter(types=frozenset(["EngineStarted"]))
    search = Search(choice, {}, 1, measured.events, 50)
    measured.rare_search_s = await _awaited(lambda: run_search(search, timeline, 60.0))
    if NO_WHOLE_SEARCH in sys.argv:
        return
    begun, whole = time.perf_counter(), Search(choice, {}, 1, measured.events, 50)
    while (page := whole.page) is not None:
        whole.take(await timeline.events(*page))
    measured.whole_search_s = time.perf_counter() - begun


def _draw(views: Views, measured: TimelineMeasurements) -> None:
    """Measure the views of the pages."""
    one = views.strategies[0]
    shown: dict[str, Callable[[], Any]] = {
        "accounts, positions, orders": views.portfolio.view,
        "arena": views.arena.rows,
        "limits": views.limits.views,
        "all measures of one strategy": lambda: views.arena.performance(one),
        "the last 50 trades": lambda: views.trades.latest(50),
    }
    measured.pictures_s = {name: _seconds(make) for name, make in shown.items()}


def _seconds(make: Callable[[], object]) -> float:
    """Return the median of some rounds; the first one fills the caches."""
    took = []
    for _ in range(PICTURES + 1):
        begun = time.perf_counter()
        make()
        took.append(time.perf_counter() - begun)
    return sorted(took[1:])[PICTURES // 2]


async def _awaited(make: Callable[[], Awaitable[object]]) -> float:
    begun = time.perf_counter()
    await make()
    return time.perf_counter() - begun


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(measure(Path(sys.argv[1])))))
