"""What only the process knows of itself: how long commits take, how much disk is free, how late the loop is."""

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
"""Older commits say nothing about now."""
DISK_S_MAX = 5.0


class Latencies:
    """How long the last commits took: `with latencies.timed():` around each."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._samples: deque[tuple[float, float]] = deque(maxlen=SAMPLES_MAX)

    @contextmanager
    def time_block(self) -> Iterator[None]:
        """Measure what happens inside, also when it fails."""
        begun_s = self._clock_s()
        try:
            yield
        finally:
            self.add(self._clock_s() - begun_s)

    def add(self, seconds: float) -> None:
        """One that took so long and ends now."""
        self._samples.append((self._clock_s(), seconds))

    def p99_ms(self) -> float | None:
        """What 99 of 100 of the last minutes stay below, the longest of a few; None where there was none."""
        since_s = self._clock_s() - WINDOW_S
        while self._samples and self._samples[0][0] < since_s:
            self._samples.popleft()
        ordered = sorted(seconds for _, seconds in self._samples)
        return ordered[-1 - len(ordered) // 100] * 1_000.0 if ordered else None


class ProcessHealth(Struct, frozen=True):
    """One measurement; the watchdog's `Measured` has the same names. None is not known."""

    commit_latency_ms: float | None
    disk_free_bytes: int | None
    loop_lag_ms: float | None


class ProcessHealthProbe:
    """Measures when asked. `folder` is where the log lies; a disk that does not answer is asked once, not again."""

    def __init__(self, folder: Path, latencies: Latencies, lag: LoopLagMonitor | None = None) -> None:
        self._folder, self._latencies, self._lag = folder, latencies, lag
        self._asking: asyncio.Future[int | None] | None = None

    async def measure(self) -> ProcessHealth:
        """What is known now."""
        return ProcessHealth(
            commit_latency_ms=self._latencies.p99_ms(),
            disk_free_bytes=await self._disk_free_bytes(),
            loop_lag_ms=None if self._lag is None else self._lag.statistics().max_ms,
        )

    async def _disk_free_bytes(self) -> int | None:
        """Asked in a thread: a network's disk may take its time. A question on its way is waited for, not repeated."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(asyncio.to_thread(_free_bytes, self._folder))
        try:
            return await asyncio.wait_for(asyncio.shield(self._asking), DISK_S_MAX)
        except TimeoutError:
            return None


def _free_bytes(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
