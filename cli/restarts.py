"""When a process that ended is started again, how soon, and when no more."""

from __future__ import annotations

import signal
from collections import deque
from typing import Final

from msgspec import Struct

ENDED_WELL: Final = 0
NOT_MENDED: Final = {
    2: "what was asked for cannot be",
    3: "another engine holds the log",
    4: "the configuration is wrong",
    5: "the log is damaged",
}
"""Exit codes after which a restart would end in the same way."""
FAULTS_IN_A_ROW_MAX: Final = 5
"""So many ends in a row, each soon after its start, and nothing is tried any more."""
STEADY_S: Final = 30.0
"""Whoever lived so long was well: what ends it is not what ended the one before."""
PAUSE_S: Final = 0.25
PAUSE_S_MAX: Final = 8.0
KILLS_MAX: Final = 20
KILLS_WINDOW_S: Final = 60.0
"""More kills within so long are no accident; the machine may be out of memory."""


class Life(Struct, frozen=True):
    """How a process lived: its exit code (minus the number of the signal that ended it), since when, until when."""

    code: int
    started_s: float
    ended_s: float

    @property
    def lived_s(self) -> float:
        """From its start to its end."""
        return self.ended_s - self.started_s


class Again(Struct, frozen=True):
    """Start it again after so many seconds."""

    after_s: float


class NoMore(Struct, frozen=True):
    """It is not started again. `why` is empty where it ended well and on purpose."""

    code: int
    why: str = ""


class Restarts:
    """One process's course of lives. A killed one returns at once, a faulty one after a pause that doubles."""

    def __init__(self, *, may_end: bool = True) -> None:
        """`may_end`: it ends well when its work is done. The work of who may not is never done."""
        self._may_end = may_end
        self._faults = 0
        self._kills_s: deque[float] = deque(maxlen=KILLS_MAX)

    def after(self, life: Life) -> Again | NoMore:
        """What to do now that a life has ended."""
        if life.code == ENDED_WELL and self._may_end:
            return NoMore(life.code)
        if life.code in NOT_MENDED:
            return NoMore(life.code, f"{NOT_MENDED[life.code]}, which a restart cannot mend")
        if life.code == -signal.SIGKILL:
            return self._killed(life)
        self._faults = 1 if life.lived_s >= STEADY_S else self._faults + 1
        if self._faults >= FAULTS_IN_A_ROW_MAX:
            return NoMore(life.code, f"it ended {self._faults} times within {STEADY_S:g} s of its start")
        return Again(min(PAUSE_S_MAX, PAUSE_S * 2.0 ** (self._faults - 1)))

    def _killed(self, life: Life) -> Again | NoMore:
        self._kills_s.append(life.ended_s)
        if len(self._kills_s) == KILLS_MAX and life.ended_s - self._kills_s[0] < KILLS_WINDOW_S:
            return NoMore(life.code, f"it was killed {KILLS_MAX} times within {KILLS_WINDOW_S:g} s")
        return Again(0.0)


def how(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"ended with {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
