"""From detected problems to anomaly facts: raised once, repeated as reminders, cleared after a calm period.

Open cases are a fold of the anomaly facts alone, so a restart during an anomaly changes nothing. Only the length of the
calm period is not in the log: after a restart it is measured anew.

An anomaly that returns within a reminder's time needs a calm period three times as long before it is cleared, up to a
reminder's time. This bounds any pattern of on and off to five facts an hour of the same kind and subject.

An open anomaly is reported again when its text changes: other words, or a number twice or half as large. That may
happen `RENEWALS_MAX` times between two reminders.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from papertape.events.facts import AnomalyCleared, AnomalyPersists, AnomalyRaised, Event, RepairTried
from papertape.projections.text.formats import duration
from papertape.projections.watchdog.checks import AnomalyKind

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from papertape.events.log import Recorded
    from papertape.projections.watchdog.checks import DetectedProblem
    from papertape.projections.watchdog.settings import WatchdogSettings

STANDING_MAX = 100
"""So many may be open at once; others are raised when one of them is cleared."""
CASES_MAX = 2_000
CALM_GROWS = 3
RETURNS_MAX = 20
DETAIL_CHARS_MAX = 500
PATIENCE_MS = 90_000
"""A first repair gets so long to take effect: a new candle may be a minute away."""
NEVER_MS = -(1 << 62)
RENEWALS_MAX: Final = 2
CHANGED_TIMES: Final = 2.0
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")

Key = tuple[str, str]
Anomaly = AnomalyRaised | AnomalyPersists | AnomalyCleared


class AnomalyCase(Struct, frozen=True):
    """One kind and subject: whether it is open, and when it was last raised, reported, cleared and repaired.

    `hoped_at_ms` is the time of the first repair within a reminder's time; `returns` counts how often the anomaly came
    back soon after it was cleared, `renewals` how often its text was reported anew since the last reminder.
    """

    kind: str
    subject: str
    detail: str = ""
    standing: bool = False
    raised_at_ms: int = NEVER_MS
    told_at_ms: int = NEVER_MS
    cleared_at_ms: int = NEVER_MS
    tried_at_ms: int = NEVER_MS
    hoped_at_ms: int = NEVER_MS
    returns: int = 0
    renewals: int = 0


class AnomalyTimings(Struct, frozen=True):
    """The periods of the state machine, in ms."""

    cooldown_ms: int
    reminder_ms: int
    calm_ms: int

    @classmethod
    def of(cls, settings: WatchdogSettings) -> AnomalyTimings:
        """Return the periods of the settings."""
        return cls(
            int(settings.cooldown_s * 1_000.0), int(settings.reminder_s * 1_000.0), int(settings.calm_s * 1_000.0)
        )

    def calm_of(self, case: AnomalyCase) -> int:
        """Return how long a problem must be absent before its case is cleared."""
        grown_ms: int = self.calm_ms * CALM_GROWS**case.returns
        return min(grown_ms, max(self.reminder_ms, self.calm_ms))


class Anomalies:
    """Fold of the anomaly facts of the watchdog's own kinds; it decides what to repair and what to report next."""

    def __init__(self, rules: AnomalyTimings, kinds: Collection[str] = tuple(AnomalyKind)) -> None:
        self._rules = rules
        self._kinds = frozenset(str(kind) for kind in kinds)
        self._cases: dict[Key, AnomalyCase] = {}
        self._calm_since_ms: dict[Key, int] = {}

    def __getstate__(self) -> dict[str, object]:
        """Return the state without what is not in the log."""
        return vars(self) | {"_calm_since_ms": {}}

    def open_cases(self) -> tuple[AnomalyCase, ...]:
        """Return the cases that were raised and not cleared, oldest first."""
        return tuple(case for case in self._cases.values() if case.standing)

    # ------------------------------------------------------------ the fold

    def apply(self, recorded: Recorded) -> None:
        """Apply one event."""
        event = recorded.event
        match event:
            case AnomalyRaised() | AnomalyCleared() | AnomalyPersists() | RepairTried() if event.kind in self._kinds:
                key = (event.kind, event.subject)
                case = self._cases.get(key) or self._opened(key)
                self._cases[key] = self._after(case, event, recorded.recorded_at_ms)
            case _:
                pass

    def _opened(self, key: Key) -> AnomalyCase:
        """Return a new case; the oldest one that is not open makes room."""
        if len(self._cases) >= CASES_MAX:
            over = next((known for known, case in self._cases.items() if not case.standing), next(iter(self._cases)))
            del self._cases[over]
        return AnomalyCase(*key)

    def _after(self, case: AnomalyCase, event: Event, at_ms: int) -> AnomalyCase:
        match event:
            case AnomalyRaised() if not case.standing:
                returned = not _passed(case.cleared_at_ms, at_ms, self._rules.reminder_ms)
                return replace(
                    case,
                    standing=True,
                    detail=event.detail,
                    raised_at_ms=at_ms,
                    told_at_ms=at_ms,
                    renewals=0,
                    returns=min(case.returns + 1, RETURNS_MAX) if returned else 0,
                )
            case AnomalyPersists() if case.standing:
                renewals = 0 if self._is_reminder_due(case, at_ms) else case.renewals + 1
                return replace(case, detail=event.detail, told_at_ms=at_ms, renewals=renewals)
            case AnomalyCleared() if case.standing:
                return replace(case, standing=False, cleared_at_ms=at_ms)
            case RepairTried():
                first = not case.standing and _passed(case.tried_at_ms, at_ms, self._rules.reminder_ms)
                return replace(case, tried_at_ms=at_ms, hoped_at_ms=at_ms if first else case.hoped_at_ms)
            case _:
                return case

    # ------------------------------------------------------------ what is due

    def to_repair(
        self, problems: Sequence[DetectedProblem], now_ms: int, repairable: Collection[str]
    ) -> list[DetectedProblem]:
        """Return the problems to repair before they are reported: when new, and with each reminder."""
        chosen = []
        for problem in _open(problems):
            key = (problem.kind.value, problem.subject)
            case = self._cases.get(key, AnomalyCase(*key))
            due = self._is_reminder_due(case, now_ms) if case.standing else self._may_raise(case, now_ms)
            if problem.kind in repairable and due and _passed(case.tried_at_ms, now_ms, self._rules.cooldown_ms):
                chosen.append(problem)
        return chosen

    def to_report(
        self, problems: Sequence[DetectedProblem], now_ms: int, unmeasured: Collection[str] = ()
    ) -> list[Anomaly]:
        """Return the facts to report now. A problem after its first repair is held back for `PATIENCE_MS`."""
        detected = {(problem.kind.value, problem.subject): problem for problem in problems}
        return [*self._over(detected, now_ms, unmeasured), *self._still(detected, now_ms), *self._new(detected, now_ms)]

    def _over(self, detected: Mapping[Key, DetectedProblem], now_ms: int, unmeasured: Collection[str]) -> list[Anomaly]:
        facts: list[Anomaly] = []
        calm_since_ms: dict[Key, int] = {}
        for case in self.open_cases():
            key = (case.kind, case.subject)
            if key in detected or case.kind in unmeasured:
                continue
            # A clock that was set back must not prolong the calm period.
            since_ms = calm_since_ms[key] = min(self._calm_since_ms.get(key, now_ms), now_ms)
            if now_ms - since_ms >= self._rules.calm_of(case):
                facts.append(AnomalyCleared(now_ms, *key, f"after {duration(max(0, since_ms - case.raised_at_ms))}"))
        self._calm_since_ms = calm_since_ms
        return facts

    def _still(self, detected: Mapping[Key, DetectedProblem], now_ms: int) -> list[Anomaly]:
        facts: list[Anomaly] = []
        for case in self.open_cases():
            problem = detected.get((case.kind, case.subject))
            if problem is None or problem.covered:
                continue
            detail = _cut(problem.detail)
            renewed = problem.renews and case.renewals < RENEWALS_MAX and _says_else(case.detail, detail)
            if renewed or (problem.reminds and self._is_reminder_due(case, now_ms)):
                facts.append(AnomalyPersists(now_ms, case.kind, case.subject, detail, case.raised_at_ms))
        return facts

    def _new(self, detected: Mapping[Key, DetectedProblem], now_ms: int) -> list[Anomaly]:
        room = STANDING_MAX - len(self.open_cases())
        facts: list[Anomaly] = []
        for key, problem in detected.items():
            case = self._cases.get(key, AnomalyCase(*key))
            is_hopeful = not _passed(case.hoped_at_ms, now_ms, PATIENCE_MS)
            if problem.covered or case.standing or is_hopeful or not self._may_raise(case, now_ms):
                continue
            facts.append(AnomalyRaised(now_ms, *key, _cut(problem.detail)))
        return facts[: max(0, room)]

    def _may_raise(self, case: AnomalyCase, now_ms: int) -> bool:
        return _passed(case.cleared_at_ms, now_ms, self._rules.cooldown_ms)

    def _is_reminder_due(self, case: AnomalyCase, now_ms: int) -> bool:
        return _passed(case.told_at_ms, now_ms, self._rules.reminder_ms)


def _open(problems: Sequence[DetectedProblem]) -> list[DetectedProblem]:
    return [problem for problem in problems if not problem.covered]


def _passed(since_ms: int, now_ms: int, span_ms: int) -> bool:
    """Return whether a period is over. A time in the future is from a clock that was set back: it counts as over."""
    return not 0 <= now_ms - since_ms < span_ms


def _says_else(before: str, now: str) -> bool:
    """Return whether a text has other words, or a number that is at least twice or at most half as large."""
    if _NUMBER.sub("", before) != _NUMBER.sub("", now):
        return True
    pairs = zip(_numbers(before), _numbers(now), strict=True)
    return any(max(one, other) >= CHANGED_TIMES * min(one, other) for one, other in pairs if one != other)


def _numbers(text: str) -> list[float]:
    return [float(number.replace(",", "")) for number in _NUMBER.findall(text)]


def _cut(text: str) -> str:
    return text if len(text) <= DETAIL_CHARS_MAX else text[: DETAIL_CHARS_MAX - 1] + "…"
