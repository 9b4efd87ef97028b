"""Detect a supervised process that is running but no longer answers; only killing it helps."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

SILENT_S_MAX: Final = 60.0
"""Neither a long commit nor a busy machine explains a longer silence."""
PROBES_MIN: Final = 6
"""The probes that must fail in a row: a machine that slept for a minute has sent only one."""


class HangDetector:
    """Probe a process at intervals. Only a process that has answered once can hang: a start may take long."""

    def __init__(
        self,
        answers: Callable[[], bool],
        silent_s_max: float = SILENT_S_MAX,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Probe with `answers`, which waits only a moment for an answer."""
        self._answers, self._clock_s = answers, clock_s
        self._interval_s, self._probed_s = silent_s_max / PROBES_MIN, -silent_s_max
        self._unanswered: int | None = None

    @property
    def interval_s(self) -> float:
        """The time between two probes; shorter until the first answer."""
        return self._interval_s if self._unanswered is not None else self._interval_s / PROBES_MIN

    @property
    def has_answered(self) -> bool:
        """Whether the current process has answered yet."""
        return self._unanswered is not None

    def begin(self) -> None:
        """Begin to watch a new process, which has not answered yet."""
        self._unanswered = None

    def is_hung(self) -> bool:
        """Probe if it is time; return whether the process has answered before and been silent for too long."""
        if self._clock_s() - self._probed_s >= self.interval_s:
            self._probed_s = self._clock_s()
            if self._answers():
                self._unanswered = 0
            elif self._unanswered is not None:
                self._unanswered += 1
        return self._unanswered is not None and self._unanswered >= PROBES_MIN
