"""A time line for ages that does not jump when this machine's clock is set.

It begins at the machine's clock and goes on by a steady one. What was recorded by the machine's clock is placed on it,
before or after a jump, so an age is what really passed.
"""

from __future__ import annotations

from typing import Final, Protocol

JUMP_MS_MIN: Final = 2_000
"""Less is a clock that is being adjusted slowly: the line follows it."""
SLACK_MS: Final = 5_000


class Clock(Protocol):
    """The machine's clock, and one that nobody sets."""

    def now_ms(self) -> int:
        """The machine's clock, UTC ms."""

    def steady_ms(self) -> int:
        """Milliseconds since some moment, those in which the machine slept included."""


class SteadyTime:
    """The line. `look` notices jumps; call it before what came since the last one is placed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._line_ms, self._at_steady_ms = clock.now_ms(), clock.steady_ms()
        self._looked_ms = self._line_ms
        self.ahead_ms = self._ahead_before_ms = 0

    def now_ms(self) -> int:
        """Return now on the line."""
        return self._line_ms + self._clock.steady_ms() - self._at_steady_ms

    def look(self) -> None:
        """Compare both clocks. `ahead_ms` is then how far the machine's is ahead of the line."""
        line_ms = self.now_ms()
        ahead_ms = self._clock.now_ms() - line_ms
        self._at_steady_ms = self._clock.steady_ms()
        if abs(ahead_ms - self.ahead_ms) >= JUMP_MS_MIN:
            self._ahead_before_ms, self.ahead_ms = self.ahead_ms, ahead_ms
        else:
            line_ms += ahead_ms - self.ahead_ms
        self._looked_ms, self._line_ms = self._line_ms, line_ms

    @property
    def has_jumped(self) -> bool:
        """Whether the machine's clock and the line differ, or did."""
        return self.ahead_ms != 0 or self._ahead_before_ms != 0

    def placed(self, at_ms: int) -> int:
        """Return where a moment of the machine's clock, as it is now or was before its last jump, lies on the line."""
        now_ms, before_ms = at_ms - self.ahead_ms, at_ms - self._ahead_before_ms
        return before_ms if self._is_recent(before_ms) and not self._is_recent(now_ms) else now_ms

    def _is_recent(self, line_ms: int) -> bool:
        return self._looked_ms - SLACK_MS <= line_ms <= self._line_ms + SLACK_MS
