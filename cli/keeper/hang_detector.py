"""Detect a kept process that is running but no longer answers; only killing it helps."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

SILENT_S_MAX: Final = 60.0
"""So long without an answer is no long commit and no busy machine."""
ASKS_MIN: Final = 6
"""So many questions without an answer: a machine that slept for a minute has asked only once."""


class HangDetector:
    """Asks at intervals. Only who has answered once in this life can hang: a start may take its time."""

    def __init__(
        self,
        answers: Callable[[], bool],
        silent_s_max: float = SILENT_S_MAX,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`answers` asks, and waits for an answer no longer than a moment."""
        self._answers, self._clock_s = answers, clock_s
        self._ask_s, self._asked_s = silent_s_max / ASKS_MIN, -silent_s_max
        self._unanswered: int | None = None

    @property
    def look_s(self) -> float:
        """After so long it wants to ask again; sooner while nothing was heard of this life."""
        return self._ask_s if self._unanswered is not None else self._ask_s / ASKS_MIN

    @property
    def was_heard(self) -> bool:
        """Whether the current process has answered yet."""
        return self._unanswered is not None

    def begin(self) -> None:
        """Begin to watch a new process, which has not answered yet."""
        self._unanswered = None

    def is_hung(self) -> bool:
        """Whether who answered once has been silent for too long; asks where it is time to."""
        if self._clock_s() - self._asked_s >= self.look_s:
            self._asked_s = self._clock_s()
            if self._answers():
                self._unanswered = 0
            elif self._unanswered is not None:
                self._unanswered += 1
        return self._unanswered is not None and self._unanswered >= ASKS_MIN
