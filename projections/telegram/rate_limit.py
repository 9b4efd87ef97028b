"""How often messages are sent: our own limits, and the pauses that Telegram requests or its silence requires.

One limiter serves everything that sends to the chat. It reserves capacity for urgent alerts.
"""

from __future__ import annotations

from collections import deque
from random import Random
from typing import Final, Protocol

from papertape.events.units import MINUTE_MS, SECOND_MS

BURST_MAX: Final = 3
"""So many messages may go at once after a pause; one of them is reserved for urgent ones."""
A_MINUTE_MAX: Final = 20
URGENT_RESERVE: Final = 5
"""So many messages a minute are reserved for urgent ones and for answers."""
ALARM_RESERVE: Final = 2
"""Answers leave so many of them to urgent alerts: a kill switch does not wait for a conversation."""
BACKOFF_S_MAX: Final = 60.0
BACKOFF_PART_MIN, BACKOFF_PART_MAX = 0.4, 0.65
"""A pause is a random part of 1, 2, 4 .. 60 s, so that the first try after an outage, the urgent messages and a digest
fit into one minute."""
DOUBLINGS_MAX: Final = 16
BUSY_EXTRA_S: Final = 0.5
RETRY_AFTER_S_MAX: Final = 86_400.0


class TelegramClock(Protocol):
    """The source of time, for reading and for waiting."""

    def now_ms(self) -> int:
        """Return the wall clock in milliseconds since 1970 UTC."""

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""


class MessageRateLimiter:
    """Computes how long the next message has to wait. Nothing here sleeps."""

    def __init__(self, clock: TelegramClock, chance: Random | None = None) -> None:
        self._clock = clock
        self._chance = chance or Random()  # noqa: S311 - jitter is no secret.
        self._sent_ms: deque[int] = deque(maxlen=A_MINUTE_MAX)
        self._seen_ms = clock.now_ms()
        self._pause_until_ms = 0
        self._failures = 0

    def wait_s(self, *, urgent: bool = False, answers: bool = False) -> float:
        """Return the seconds until the next message may go, 0 for now. `answers`: a user waits for it in the chat."""
        now_ms = self._now_ms()
        burst = BURST_MAX if urgent or answers else BURST_MAX - 1
        a_minute = A_MINUTE_MAX - (0 if urgent else ALARM_RESERVE if answers else URGENT_RESERVE)
        free_ms = [now_ms, self._pause_until_ms, self._bucket_ms(burst)]
        if len(self._sent_ms) >= a_minute:
            free_ms.append(self._sent_ms[-a_minute] + MINUTE_MS + 1)
        return (max(free_ms) - now_ms) / 1_000.0

    def record_sent(self) -> None:
        """Record that a message goes out now."""
        self._sent_ms.append(self._now_ms())

    def record_success(self) -> None:
        """Record that Telegram answers: pauses start at the shortest again."""
        self._failures = 0

    def record_failure(self) -> None:
        """Record that Telegram did not answer: pause, longer with each failure in a row."""
        nominal_s = min(BACKOFF_S_MAX, 2.0 ** min(self._failures, DOUBLINGS_MAX))
        self._failures += 1
        self._pause(nominal_s * self._chance.uniform(BACKOFF_PART_MIN, BACKOFF_PART_MAX))

    def back_off(self, retry_after_s: float) -> None:
        """Pause for as long as Telegram asks."""
        self._pause(min(RETRY_AFTER_S_MAX, max(1.0, retry_after_s)) + BUSY_EXTRA_S)

    def _pause(self, seconds: float) -> None:
        now_ms = self._now_ms()  # First: it moves the present pause if the clock was set back.
        self._pause_until_ms = max(self._pause_until_ms, now_ms + int(seconds * 1_000.0))

    def _bucket_ms(self, burst: int) -> int:
        """Return when a bucket of `burst` tokens, refilled once a second, has a free one.

        It replays the bucket from the recent messages: the nth last one is at least n - burst seconds old.
        """
        free_ms = 0
        level_until_ms = 0
        for at_ms in self._sent_ms:
            level_until_ms = max(level_until_ms, at_ms) + SECOND_MS
            free_ms = level_until_ms - burst * SECOND_MS + SECOND_MS
        return free_ms

    def _now_ms(self) -> int:
        """Return the time; if the clock was set back, move all recorded messages and pauses back with it."""
        now_ms = self._clock.now_ms()
        if now_ms < self._seen_ms:
            back_ms = self._seen_ms - now_ms
            self._sent_ms = deque((at_ms - back_ms for at_ms in self._sent_ms), maxlen=A_MINUTE_MAX)
            self._pause_until_ms -= back_ms
        self._seen_ms = now_ms
        return now_ms
