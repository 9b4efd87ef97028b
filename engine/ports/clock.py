"""The wall clock as a port: the shell reads the time from it and sleeps by it; the core never does."""

from __future__ import annotations

import asyncio
import time
from typing import Final, Protocol

STEADY: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """The clock of the shell."""

    def now_ms(self) -> int:
        """Return the wall clock in milliseconds since 1970 UTC."""
        ...

    def steady_ms(self) -> int:
        """Return the milliseconds of a monotonic clock, including the time that the machine slept."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Sleep for `seconds`. Zero or less yields to other tasks once."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now_ms(self) -> int:
        """See `Clock.now_ms`."""
        return time.time_ns() // 1_000_000

    def steady_ms(self) -> int:
        """See `Clock.steady_ms`."""
        return time.clock_gettime_ns(STEADY) // 1_000_000

    async def sleep(self, seconds: float) -> None:
        """Sleep for `seconds` of real time."""
        await asyncio.sleep(max(0.0, seconds))


class ScaledClock:
    """Runs at `speed` times the pace of another clock from its creation on: an hour of market in a minute."""

    def __init__(self, clock: Clock, speed: float) -> None:
        self._clock = clock
        self.speed = speed
        self._from_ms = clock.now_ms()

    def now_ms(self) -> int:
        """Return the scaled time in milliseconds since 1970 UTC."""
        return self._from_ms + int((self._clock.now_ms() - self._from_ms) * self.speed)

    def steady_ms(self) -> int:
        """See `Clock.steady_ms`."""
        return int(self._clock.steady_ms() * self.speed)

    async def sleep(self, seconds: float) -> None:
        """Sleep for `seconds` of this clock."""
        await self._clock.sleep(seconds / self.speed)


class ManualClock:
    """A clock for tests and rehearsals: its time changes only when it is advanced, and sleeping advances it.

    A sleep advances the time by exactly its seconds and returns at once, after yielding to other tasks. `slept_seconds`
    lists the sleeps, up to `SLEPT_MAX` entries.
    """

    SLEPT_MAX = 100_000

    def __init__(self, now_ms: int = 0) -> None:
        self._now_ms = float(now_ms)
        self._set_ms = 0.0
        self.slept_seconds: list[float] = []

    def now_ms(self) -> int:
        """Return the clock's time in milliseconds since 1970 UTC."""
        return int(self._now_ms)

    def advance(self, seconds: float) -> None:
        """Advance the time by `seconds` (negative: move it back)."""
        self._now_ms += seconds * 1000.0

    def steady_ms(self) -> int:
        """Return the time without the changes made by `set`."""
        return int(self._now_ms - self._set_ms)

    def set(self, seconds: float) -> None:
        """Set the clock forward by `seconds` (negative: back) instantly, as a clock correction does."""
        self._now_ms += seconds * 1000.0
        self._set_ms += seconds * 1000.0

    async def sleep(self, seconds: float) -> None:
        """Advance the time by `seconds` and yield to other tasks."""
        if seconds > 0.0:
            self.advance(seconds)
            if len(self.slept_seconds) < self.SLEPT_MAX:
                self.slept_seconds.append(seconds)
        await asyncio.sleep(0)
