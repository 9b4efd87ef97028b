"""A timeline for ages that does not jump when this machine's clock is set.

It starts at the machine's clock and advances with a monotonic one. Times of the machine's clock, from before or after a
jump, are converted to it, so ages are real elapsed time.
"""

from __future__ import annotations

from typing import Final, Protocol

JUMP_MS_MIN: Final = 2_000
"""A smaller change is a slow clock adjustment, which the timeline follows."""
SLACK_MS: Final = 5_000


class WallAndMonotonicClock(Protocol):
    """The machine's clock, and a monotonic one."""

    def now_ms(self) -> int:
        """Return the machine's clock, UTC ms."""

    def steady_ms(self) -> int:
        """Return the milliseconds of a monotonic clock, including the time that the machine slept."""


class SteadyTime:
    """The timeline. `update` detects jumps; call it before converting times recorded since the last call."""

    def __init__(self, clock: WallAndMonotonicClock) -> None:
        self._clock = clock
        self._line_ms, self._at_steady_ms = clock.now_ms(), clock.steady_ms()
        self._updated_ms = self._line_ms
        self.ahead_ms = self._ahead_before_ms = 0

    def now_ms(self) -> int:
        """Return the current time on the timeline."""
        return self._line_ms + self._clock.steady_ms() - self._at_steady_ms

    def update(self) -> None:
        """Compare both clocks, and update how far the machine's clock is ahead of the timeline."""
        line_ms = self.now_ms()
        ahead_ms = self._clock.now_ms() - line_ms
        self._at_steady_ms = self._clock.steady_ms()
        if abs(ahead_ms - self.ahead_ms) >= JUMP_MS_MIN:
            self._ahead_before_ms, self.ahead_ms = self.ahead_ms, ahead_ms
        else:
            line_ms += ahead_ms - self.ahead_ms
        self._updated_ms, self._line_ms = self._line_ms, line_ms

    @property
    def has_jumped(self) -> bool:
        """Whether the machine's clock and the timeline differ, or did before the last jump."""
        return self.ahead_ms != 0 or self._ahead_before_ms != 0

    def to_steady_ms(self, at_ms: int) -> int:
        """Convert a time of the machine's clock, from before or after its last jump, to the timeline."""
        now_ms, before_ms = at_ms - self.ahead_ms, at_ms - self._ahead_before_ms
        return before_ms if self._is_recent(before_ms) and not self._is_recent(now_ms) else now_ms

    def _is_recent(self, line_ms: int) -> bool:
        return self._updated_ms - SLACK_MS <= line_ms <= self._line_ms + SLACK_MS
