"""Decide whether and when a process that ended is restarted.

A failure that can be recovered from (full disk, missing mount, taken port, no network, unreadable file) is retried
for as long as it takes, with pauses that grow to five minutes. Only a log that is damaged, or newer than this version,
stops an engine for good: each further start would write behind the damage.
"""

from __future__ import annotations

import signal
from collections import deque
from typing import Final

from msgspec import Struct

ENDED_WELL: Final = 0
STOPS: Final = {5: "the log is damaged, or newer than this version"}
"""Exit codes after which an engine is not restarted."""
OWNER_MENDS: Final = {2: "the command line is invalid or the log is missing", 4: "the configuration is invalid"}
"""Exit codes that only the owner can fix; one try every five minutes notices the fix."""
FAULTS_REPORTED_MAX: Final = 5
"""The number of failures in a row that are reported; the last report announces the silence."""
STEADY_S: Final = 30.0
"""A process that was up for this long was healthy: its end is unrelated to the previous one."""
PAUSE_S: Final = 0.25
PAUSE_S_MAX: Final = 300.0
DOUBLINGS_MAX: Final = 20
KILLS_MAX: Final = 20
KILLS_WINDOW_S: Final = 60.0
"""`KILLS_MAX` kills within this time are no accident: the machine may be out of memory, so restarts pause too."""


class ProcessRun(Struct, frozen=True):
    """One run of a process: its exit code (or minus the number of the signal that ended it), start and end.

    `was_up` tells whether it ever did its work: a long replay that ends in a fault is not a steady run.
    """

    code: int
    started_s: float
    ended_s: float
    was_up: bool = True

    @property
    def is_steady(self) -> bool:
        """Whether it did its work for at least `STEADY_S`."""
        return self.was_up and self.ended_s - self.started_s >= STEADY_S


class RestartAfter(Struct, frozen=True):
    """Restart it after a pause. `note` explains the pause; a `quiet` restart is not reported."""

    after_s: float
    note: str = ""
    quiet: bool = False


class PermanentStop(Struct, frozen=True):
    """Do not restart it. `why` is empty if it finished its work."""

    code: int
    why: str = ""


class RestartPolicy:
    """The restarts of one process: at once after a kill, with doubling pauses after failures."""

    def __init__(self, *, may_end: bool = True) -> None:
        """Let the process finish, or stop for good at a damaged log, if it `may_end`. The page does neither."""
        self._may_end = may_end
        self._faults = 0
        self._waits = 0
        self._kills_s: deque[float] = deque(maxlen=KILLS_MAX)

    @property
    def is_failing(self) -> bool:
        """Whether so many starts in a row have failed that further failures are not reported."""
        return self._faults >= FAULTS_REPORTED_MAX

    def settle(self) -> bool:
        """Note that the process has been up for `STEADY_S`; return whether that ends a reported failure."""
        was_reported = self.is_failing or self._waits > 0
        self._faults = self._waits = 0
        return was_reported

    def next_step(self, run: ProcessRun) -> RestartAfter | PermanentStop:
        """Return what to do after a run of the process has ended."""
        if run.code == ENDED_WELL and self._may_end:
            return PermanentStop(run.code)
        if run.code in STOPS and self._may_end:
            return PermanentStop(run.code, STOPS[run.code])
        if run.is_steady:
            self.settle()
        if run.code in OWNER_MENDS or run.code in STOPS:
            self._waits += 1
            why = (OWNER_MENDS | STOPS)[run.code]
            return RestartAfter(PAUSE_S_MAX, f"{why}; this is reported once", quiet=self._waits > 1)
        if run.code == -signal.SIGKILL and not self._is_killed_often(run):
            return RestartAfter(0.0)
        return self._after_fault()

    def _after_fault(self) -> RestartAfter:
        self._faults += 1
        pause_s = min(PAUSE_S_MAX, PAUSE_S * 2.0 ** min(self._faults - 1, DOUBLINGS_MAX))
        note = ""
        if self._faults == FAULTS_REPORTED_MAX:
            note = (
                f"after {FAULTS_REPORTED_MAX} failures in a row it is retried as long as it takes, at most every "
                f"{PAUSE_S_MAX:g} s and without further messages until it stays up"
            )
        return RestartAfter(pause_s, note, quiet=self._faults > FAULTS_REPORTED_MAX)

    def _is_killed_often(self, run: ProcessRun) -> bool:
        self._kills_s.append(run.ended_s)
        return len(self._kills_s) == KILLS_MAX and run.ended_s - self._kills_s[0] < KILLS_WINDOW_S


def describe_exit(code: int) -> str:
    """Describe how a process ended."""
    if code >= 0:
        return f"exited with {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
