"""From troubles seen to facts told: raised once, reminded of, over when it has stayed away.

What stands is a fold of the anomaly facts alone, so a restart in the middle of an anomaly changes nothing. Only how
long a trouble has stayed away is not in the log: after a restart that is counted anew.

An anomaly that comes back within a reminder's time must stay away thrice as long before it is over, up to a
reminder's time. That bounds what any pattern of on and off can cause: five facts an hour of the same kind and subject.

A standing anomaly is reported again when its text changes: other words, or a number twice or half as large. That may
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
"""So many stand at once; what is beyond is raised when one of them is over."""
CASES_MAX = 2_000
CALM_GROWS = 3
RETURNS_MAX = 20
DETAIL_CHARS_MAX = 500
PATIENCE_MS = 90_000
"""A first repair gets so long to show that it helped: a new candle may be a minute away."""
NEVER_MS = -(1 << 62)
RENEWALS_MAX: Final = 2
CHANGED_TIMES: Final = 2.0
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")

Key = tuple[str, str]
Anomaly = AnomalyRaised | AnomalyPersists | AnomalyCleared


class AnomalyCase(Struct, frozen=True):
    """One kind and subject: whether it stands, and when it was raised, told, cleared and tried to be mended last.

    `hoped_at_ms` is when it was met by the first repair within a reminder's time; `returns` counts how often it came
    back soon after it was over, `renewals` how often its text was told anew since the last reminder.
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
    """The times of the state machine, in ms."""

    cooldown_ms: int
    reminder_ms: int
    calm_ms: int

    @classmethod
    def of(cls, settings: WatchdogSettings) -> AnomalyTimings:
        """As the settings say."""
        return cls(
            int(settings.cooldown_s * 1_000.0), int(settings.reminder_s * 1_000.0), int(settings.calm_s * 1_000.0)
        )

    def calm_of(self, case: AnomalyCase) -> int:
        """How long a case must stay away before it is over."""
        grown_ms: int = self.calm_ms * CALM_GROWS**case.returns
        return min(grown_ms, max(self.reminder_ms, self.calm_ms))


class Anomalies:
    """Fold of the anomaly facts of the watchdog's own kinds, and what is to be told next."""

    def __init__(self, rules: AnomalyTimings, kinds: Collection[str] = tuple(AnomalyKind)) -> None:
        self._rules = rules
        self._kinds = frozenset(str(kind) for kind in kinds)
        self._cases: dict[Key, AnomalyCase] = {}
        self._calm_since_ms: dict[Key, int] = {}

    def __getstate__(self) -> dict[str, object]:
        """Without what is not in the log."""
        return vars(self) | {"_calm_since_ms": {}}

    def open_cases(self) -> tuple[AnomalyCase, ...]:
        """What was raised and is not over, oldest first."""
        return tuple(case for case in self._cases.values() if case.standing)

    # ------------------------------------------------------------ the fold

    def apply(self, recorded: Recorded) -> None:
        """Take one event."""
        event = recorded.event
        match event:
            case AnomalyRaised() | AnomalyCleared() | AnomalyPersists() | RepairTried() if event.kind in self._kinds:
                key = (event.kind, event.subject)
                case = self._cases.get(key) or self._opened(key)
                self._cases[key] = self._after(case, event, recorded.recorded_at_ms)
            case _:
                pass

    def _opened(self, key: Key) -> AnomalyCase:
        """A case not known yet. The oldest that does not stand makes room."""
        if len(self._cases) >= CASES_MAX:
            over = next((known for known, case in self._cases.items() if not case.standing), next(iter(self._cases)))
            del self._cases[over]
        return AnomalyCase(*key)

    def _after(self, case: AnomalyCase, event: Event, at_ms: int) -> AnomalyCase:
        """The case after an event that was recorded at a time."""
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

    # ------------------------------------------------------------ what to do

    def to_repair(
        self, troubles: Sequence[DetectedProblem], now_ms: int, repairable: Collection[str]
    ) -> list[DetectedProblem]:
        """The troubles that are to be mended before they are told: when new, and with each reminder."""
        chosen = []
        for trouble in _open(troubles):
            key = (trouble.kind.value, trouble.subject)
            case = self._cases.get(key, AnomalyCase(*key))
            due = self._is_reminder_due(case, now_ms) if case.standing else self._may_raise(case, now_ms)
            if trouble.kind in repairable and due and _passed(case.tried_at_ms, now_ms, self._rules.cooldown_ms):
                chosen.append(trouble)
        return chosen

    def to_tell(
        self, troubles: Sequence[DetectedProblem], now_ms: int, unmeasured: Collection[str] = ()
    ) -> list[Anomaly]:
        """The facts to tell now. What was just met by its first repair in a reminder's time is held back a little."""
        seen = {(trouble.kind.value, trouble.subject): trouble for trouble in troubles}
        return [*self._over(seen, now_ms, unmeasured), *self._still(seen, now_ms), *self._new(seen, now_ms)]

    def _over(self, seen: Mapping[Key, DetectedProblem], now_ms: int, unmeasured: Collection[str]) -> list[Anomaly]:
        told: list[Anomaly] = []
        calm_since_ms: dict[Key, int] = {}
        for case in self.open_cases():
            key = (case.kind, case.subject)
            if key in seen or case.kind in unmeasured:
                continue
            # A clock that was set back must not make it wait for the time that was.
            since_ms = calm_since_ms[key] = min(self._calm_since_ms.get(key, now_ms), now_ms)
            if now_ms - since_ms >= self._rules.calm_of(case):
                told.append(AnomalyCleared(now_ms, *key, f"after {duration(max(0, since_ms - case.raised_at_ms))}"))
        self._calm_since_ms = calm_since_ms
        return told

    def _still(self, seen: Mapping[Key, DetectedProblem], now_ms: int) -> list[Anomaly]:
        told: list[Anomaly] = []
        for case in self.open_cases():
            trouble = seen.get((case.kind, case.subject))
            if trouble is None or trouble.covered:
                continue
            detail = _cut(trouble.detail)
            renewed = trouble.renews and case.renewals < RENEWALS_MAX and _says_else(case.detail, detail)
            if renewed or self._is_reminder_due(case, now_ms):
                told.append(AnomalyPersists(now_ms, case.kind, case.subject, detail, case.raised_at_ms))
        return told

    def _new(self, seen: Mapping[Key, DetectedProblem], now_ms: int) -> list[Anomaly]:
        room = STANDING_MAX - len(self.open_cases())
        told: list[Anomaly] = []
        for key, trouble in seen.items():
            case = self._cases.get(key, AnomalyCase(*key))
            hopes = not _passed(case.hoped_at_ms, now_ms, PATIENCE_MS)
            if trouble.covered or case.standing or hopes or not self._may_raise(case, now_ms):
                continue
            told.append(AnomalyRaised(now_ms, *key, _cut(trouble.detail)))
        return told[: max(0, room)]

    def _may_raise(self, case: AnomalyCase, now_ms: int) -> bool:
        return _passed(case.cleared_at_ms, now_ms, self._rules.cooldown_ms)

    def _is_reminder_due(self, case: AnomalyCase, now_ms: int) -> bool:
        return _passed(case.told_at_ms, now_ms, self._rules.reminder_ms)


def _open(troubles: Sequence[DetectedProblem]) -> list[DetectedProblem]:
    return [trouble for trouble in troubles if not trouble.covered]


def _passed(since_ms: int, now_ms: int, span_ms: int) -> bool:
    """Whether a span of time is over. A time that lies ahead is of a clock that was set back: it counts as over."""
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
