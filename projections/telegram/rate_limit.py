"""How often anything is sent: the limits we keep by ourselves, and the pauses Telegram asks for or its silence needs.

One pace serves everybody who sends to the chat. Alerts that overtake others find a place kept free for them.
"""

from __future__ import annotations

from collections import deque
from random import Random
from typing import Final, Protocol

from papertape.events.units import MINUTE_MS, SECOND_MS

BURST_MAX: Final = 3
"""So many messages may go at once after a rest; one of them is kept for urgent ones."""
A_MINUTE_MAX: Final = 20
URGENT_RESERVE: Final = 5
"""Of the messages of a minute these are kept for urgent ones and for answers."""
ALARM_RESERVE: Final = 2
"""Answers leave these of them to urgent alerts: a kill switch does not wait for a conversation."""
BACKOFF_S_MAX: Final = 60.0
BACKOFF_PART_MIN, BACKOFF_PART_MAX = 0.4, 0.65
"""A pause is this part of 1, 2, 4 .. 60 s, by chance: so that after Telegram's return the first try, the urgent
messages and a digest fit into one minute."""
DOUBLINGS_MAX: Final = 16
BUSY_EXTRA_S: Final = 0.5
RETRY_AFTER_S_MAX: Final = 86_400.0


class TelegramClock(Protocol):
    """Where the time comes from, and what waits for it."""

    def now_ms(self) -> int:
        """The wall clock in milliseconds since 1970 UTC."""

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""


class MessageRateLimiter:
    """Says how long the next message has to wait. Nothing here sleeps."""

    def __init__(self, clock: TelegramClock, chance: Random | None = None) -> None:
        self._clock = clock
        self._chance = chance or Random()  # noqa: S311 - jitter is no secret.
        self._taken_ms: deque[int] = deque(maxlen=A_MINUTE_MAX)
        self._seen_ms = clock.now_ms()
        self._pause_until_ms = 0
        self._failures = 0

    def wait_s(self, *, urgent: bool = False, answers: bool = False) -> float:
        """Seconds until the next message may go; 0 when it may go now. `answers`: somebody waits for it in the chat."""
        now_ms = self._now_ms()
        burst = BURST_MAX if urgent or answers else BURST_MAX - 1
        a_minute = A_MINUTE_MAX - (0 if urgent else ALARM_RESERVE if answers else URGENT_RESERVE)
        free_ms = [now_ms, self._pause_until_ms, self._bucket_ms(burst)]
        if len(self._taken_ms) >= a_minute:
            free_ms.append(self._taken_ms[-a_minute] + MINUTE_MS + 1)
        return (max(free_ms) - now_ms) / 1_000.0

    def record_sent(self) -> None:
        """A message goes now."""
        self._taken_ms.append(self._now_ms())

    def record_success(self) -> None:
        """Telegram lives: pauses begin at the shortest again."""
        self._failures = 0

    def record_failure(self) -> None:
        """No answer: a pause, longer with each failure in a row."""
        nominal_s = min(BACKOFF_S_MAX, 2.0 ** min(self._failures, DOUBLINGS_MAX))
        self._failures += 1
        self._pause(nominal_s * self._chance.uniform(BACKOFF_PART_MIN, BACKOFF_PART_MAX))

    def back_off(self, retry_after_s: float) -> None:
        """Telegram asks to wait so long; nothing goes before."""
        self._pause(min(RETRY_AFTER_S_MAX, max(1.0, retry_after_s)) + BUSY_EXTRA_S)

    def _pause(self, seconds: float) -> None:
        self._pause_until_ms = max(self._pause_until_ms, self._now_ms() + int(seconds * 1_000.0))

    def _bucket_ms(self, burst: int) -> int:
        """When a bucket of `burst` places, of which one comes back a second, has a place free.

        It is the bucket seen from behind: the n-th last message is at least burst - n seconds of places away.
        """
        free_ms = 0
        level_until_ms = 0
        for at_ms in self._taken_ms:
            level_until_ms = max(level_until_ms, at_ms) + SECOND_MS
            free_ms = level_until_ms - burst * SECOND_MS + SECOND_MS
        return free_ms

    def _now_ms(self) -> int:
        """The time; after the clock was set back everything taken and every pause moves back with it."""
        now_ms = self._clock.now_ms()
        if now_ms < self._seen_ms:
            back_ms = self._seen_ms - now_ms
            self._taken_ms = deque((at_ms - back_ms for at_ms in self._taken_ms), maxlen=A_MINUTE_MAX)
            self._pause_until_ms -= back_ms
        self._seen_ms = now_ms
        return now_ms
