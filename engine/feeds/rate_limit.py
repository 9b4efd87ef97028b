"""Limit the rate of requests: a maximum per second, and none during a pause that the exchange demands.

All seconds are those of the clock: market seconds against a stand-in that runs faster than real time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from random import Random
from typing import Final

from papertape.engine.ports.clock import Clock
from papertape.events.errors import ExchangeBusy

BURST_MAX: Final = 10
"""The most requests at once after a rest."""
PAUSE_S_MAX: Final = 300.0
"""The longest pause after a refusal without `Retry-After`; an address limit clears in about this time."""
RETRY_AFTER_S_MAX: Final = 3_600.0
"""The longest pause, even if the exchange demands a longer one."""
JITTER_FRACTION_MAX: Final = 0.25
"""Pauses are lengthened by up to this fraction, so that many clients do not return together."""
SLEEP_S_MAX: Final = 60.0
"""The longest sleep before the clock is read again: it may have been corrected, or the machine slept."""
SLEEPS_MAX: Final = 1_000


class RateLimiter:
    """Lets requests pass one after another: up to `BURST_MAX` at once after a rest, then `requests_per_s`.

    A token returns a fixed time after it was taken, so that no span of one second ever holds more requests than
    `requests_per_s`, a burst included. After `back_off` nothing passes until the pause is over.
    """

    def __init__(self, requests_per_s: float, clock: Clock, chance: Random | None = None) -> None:
        a_second = max(1, int(requests_per_s))
        burst = min(BURST_MAX, a_second)
        self._clock = clock
        self._chance = chance or Random()  # noqa: S311 - jitter is no secret.
        # A number of tokens, and when a token returns. Times are truncated to the millisecond: hence the extra one.
        self._tokens = ((burst, 1_000.0 * burst / requests_per_s + 1.0), (a_second, 1_001.0))
        self._taken_ms: deque[int] = deque(maxlen=a_second)
        self._turn = asyncio.Lock()
        self._pauses = 0
        self._pauses_in_a_row = 0
        self._paused_at_ms = 0
        self._pause_ms = 0.0

    async def acquire(self) -> int:
        """Wait until the next request may pass; return its ticket for `back_off` or `record_success`.

        Raise ExchangeBusy if one pause follows another without end.
        """
        async with self._turn:
            for _ in range(SLEEPS_MAX):
                early_ms = self._early_ms()
                if early_ms <= 0.0:
                    self._taken_ms.append(self._clock.now_ms())
                    return self._pauses
                await self._clock.sleep(min(SLEEP_S_MAX, early_ms / 1_000.0))
        raise ExchangeBusy(f"still paused after {SLEEPS_MAX} waits")

    def back_off(self, ticket: int, retry_after_s: float) -> float:
        """Begin a pause because this ticket's request exceeded the limit; return the pause in seconds.

        Concurrent requests begin one pause together. Without `retry_after_s`, pauses in a row double from 1 s to
        `PAUSE_S_MAX`.
        """
        if ticket == self._pauses:
            self._pauses += 1
            self._pauses_in_a_row += 1
            self._pause(min(PAUSE_S_MAX, 2.0 ** min(self._pauses_in_a_row - 1, 16)), retry_after_s)
        elif retry_after_s > 0.0 and retry_after_s * 1_000.0 > self._pause_left_ms():
            self._pause(0.0, retry_after_s)
        return self._pause_left_ms() / 1_000.0

    def record_success(self, ticket: int) -> None:
        """Record a served request: pauses begin at 1 s again, unless it was sent before the newest pause."""
        if ticket == self._pauses:
            self._pauses_in_a_row = 0

    def _pause(self, default_s: float, demanded_s: float) -> None:
        seconds = min(RETRY_AFTER_S_MAX, demanded_s) if demanded_s > 0.0 else default_s
        self._paused_at_ms = self._clock.now_ms()
        self._pause_ms = seconds * 1_000.0 * (1.0 + self._chance.random() * JITTER_FRACTION_MAX)

    def _early_ms(self) -> float:
        now_ms = self._clock.now_ms()
        taken_ms = self._taken_ms
        if taken_ms and now_ms < taken_ms[-1]:
            # The clock was set back: treat every token as taken just now.
            taken_ms.extend([now_ms] * (taken_ms.maxlen or 1))
        waits = [taken_ms[-count] + after_ms - now_ms for count, after_ms in self._tokens if len(taken_ms) >= count]
        return max(self._pause_left_ms(), *waits, 0.0)

    def _pause_left_ms(self) -> float:
        now_ms = self._clock.now_ms()
        self._paused_at_ms = min(self._paused_at_ms, now_ms)  # As above.
        return self._paused_at_ms + self._pause_ms - now_ms
