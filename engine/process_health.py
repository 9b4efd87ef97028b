"""Measure what only the engine's own process can: commit latency, free disk space, and the lag of the event loop."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from papertape.engine.loop_lag import LoopLagMonitor

SAMPLES_MAX = 1_000
WINDOW_S = 300.0
"""Older commits are ignored."""
DISK_S_MAX = 5.0


class Latencies:
    """The durations of the last commits: wrap each in `with latencies.time_block():`."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._samples: deque[tuple[float, float]] = deque(maxlen=SAMPLES_MAX)

    @contextmanager
    def time_block(self) -> Iterator[None]:
        """Measure the duration of the block, also if it fails."""
        started_s = self._clock_s()
        try:
            yield
        finally:
            self.add(self._clock_s() - started_s)

    def add(self, seconds: float) -> None:
        """Add a duration that ends now."""
        self._samples.append((self._clock_s(), seconds))

    def p99_ms(self) -> float | None:
        """Return the 99th percentile over the window, the maximum of fewer than 100 samples, None without any."""
        since_s = self._clock_s() - WINDOW_S
        while self._samples and self._samples[0][0] < since_s:
            self._samples.popleft()
        ordered = sorted(seconds for _, seconds in self._samples)
        return ordered[-1 - len(ordered) // 100] * 1_000.0 if ordered else None


class ProcessHealth(Struct, frozen=True):
    """One measurement; None means unknown."""

    commit_latency_ms: float | None
    disk_free_bytes: int | None
    loop_lag_ms: float | None


class ProcessHealthProbe:
    """Takes measurements on demand; `folder` is the folder of the log."""

    def __init__(self, folder: Path, latencies: Latencies, lag: LoopLagMonitor | None = None) -> None:
        self._folder, self._latencies, self._lag = folder, latencies, lag
        self._disk_query: asyncio.Future[int | None] | None = None

    async def measure(self) -> ProcessHealth:
        """Return the current measurements."""
        return ProcessHealth(
            commit_latency_ms=self._latencies.p99_ms(),
            disk_free_bytes=await self._disk_free_bytes(),
            loop_lag_ms=None if self._lag is None else self._lag.statistics().max_ms,
        )

    async def _disk_free_bytes(self) -> int | None:
        """Query the disk in a thread: a network disk may be slow. A query in progress is awaited, not repeated."""
        if self._disk_query is None or self._disk_query.done():
            self._disk_query = asyncio.ensure_future(asyncio.to_thread(_free_bytes, self._folder))
        try:
            return await asyncio.wait_for(asyncio.shield(self._disk_query), DISK_S_MAX)
        except TimeoutError:
            return None


def _free_bytes(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
