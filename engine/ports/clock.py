"""The wall clock as a port: the shell asks it for the time and sleeps by it, the core never does."""

from __future__ import annotations

import asyncio
import time
from typing import Final, Protocol

STEADY: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """Where the shell gets its time from."""

    def now_ms(self) -> int:
        """The wall clock in milliseconds since 1970 UTC."""
        ...

    def steady_ms(self) -> int:
        """Return the milliseconds of a monotonic clock, including the time that the machine slept."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` pass. Zero or less gives way to other tasks once."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now_ms(self) -> int:
        """The wall clock in milliseconds since 1970 UTC."""
        return time.time_ns() // 1_000_000

    def steady_ms(self) -> int:
        """See `Clock.steady_ms`."""
        return time.clock_gettime_ns(STEADY) // 1_000_000

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` of real time pass."""
        await asyncio.sleep(max(0.0, seconds))


class ScaledClock:
    """Another clock at `speed` times its pace, from the moment this one is made: an hour of market in a minute."""

    def __init__(self, clock: Clock, speed: float) -> None:
        self._clock = clock
        self.speed = speed
        self._from_ms = clock.now_ms()

    def now_ms(self) -> int:
        """The time this clock shows, in milliseconds since 1970 UTC."""
        return self._from_ms + int((self._clock.now_ms() - self._from_ms) * self.speed)

    def steady_ms(self) -> int:
        """See `Clock.steady_ms`."""
        return int(self._clock.steady_ms() * self.speed)

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` of this clock pass."""
        await self._clock.sleep(seconds / self.speed)


class ManualClock:
    """A clock for tests and rehearsals: it stands still until it is advanced, and sleeping advances it.

    A sleep returns at once (after giving way to other tasks), with the time moved on by exactly the
    seconds asked for. `slept_seconds` lists what was asked for, up to `SLEPT_MAX` entries.
    """

    SLEPT_MAX = 100_000

    def __init__(self, now_ms: int = 0) -> None:
        self._now_ms = float(now_ms)
        self._set_ms = 0.0
        self.slept_seconds: list[float] = []

    def now_ms(self) -> int:
        """The time this clock shows, in milliseconds since 1970 UTC."""
        return int(self._now_ms)

    def advance(self, seconds: float) -> None:
        """Move the time on by `seconds` (negative moves it back)."""
        self._now_ms += seconds * 1000.0

    def steady_ms(self) -> int:
        """Return the time without the changes made by `set`."""
        return int(self._now_ms - self._set_ms)

    def set(self, seconds: float) -> None:
        """Set the clock forward by `seconds` (negative: back) instantly, as a clock correction does."""
        self._now_ms += seconds * 1000.0
        self._set_ms += seconds * 1000.0

    async def sleep(self, seconds: float) -> None:
        """Move the time on by `seconds` and give way to other tasks."""
        if seconds > 0.0:
            self.advance(seconds)
            if len(self.slept_seconds) < self.SLEPT_MAX:
                self.slept_seconds.append(seconds)
        await asyncio.sleep(0)
