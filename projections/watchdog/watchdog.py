"""The running watchdog: every half minute it folds new events, checks, repairs and reports."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct
from msgspec.structs import replace

from papertape.events.errors import PapertapeError
from papertape.events.facts import AnomalyPersists, Event, RepairTried
from papertape.projections.folds.portfolio import Portfolio
from papertape.projections.folds.promised import Promised
from papertape.projections.host import FOLLOW_EVENTS_MAX, Announcer, Cursor, Projection, fold
from papertape.projections.persistence.fold_store import NullFoldStore
from papertape.projections.watchdog.anomalies import Anomalies, Anomaly, AnomalyCase, AnomalyTimings
from papertape.projections.watchdog.checks import DetectedProblem, ProcessMeasurements, find_problems, unmeasured_kinds
from papertape.projections.watchdog.drift import find_drifts
from papertape.projections.watchdog.liveness import Liveness
from papertape.projections.watchdog.steady_time import SteadyTime, WallAndMonotonicClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from papertape.events.log import Recorded
    from papertape.projections.host import EventSource
    from papertape.projections.persistence.fold_store import FoldPersistence
    from papertape.projections.watchdog.settings import WatchdogSettings

REPAIR_S_MAX = 20.0
REPAIRS_PER_CHECK_MAX = 5
"""The rest is left for the next check, so that a check ends."""
MEASURE_S_MAX = 10.0
REPAIRS_KEPT_MAX = 20
SLEPT_TIMES = 3.0
"""If the pause between two checks took so many times as long, the machine was asleep."""
AWAKE_MS = 120_000
"""After a sleep everything looks old, so the feed gets so long to catch up."""
SEQ_NEVER = 1 << 62
OUTSIDE_ERRORS = (PapertapeError, OSError, TimeoutError)
"""The expected errors of a repair, a measurement or a message; any other is a bug and stops the engine."""


class WatchdogClock(WallAndMonotonicClock, Protocol):
    """The source of time, for reading and for waiting."""

    async def sleep(self, seconds: float) -> None:
        """Wait for so many seconds."""


class HeadAnnouncer(Announcer, Protocol):
    """The part of the bus that the watchdog needs."""

    @property
    def head_seq(self) -> int:
        """The newest seq that was published."""


class FoldFollower:
    """Folds that are brought up to date on demand. It may be shared: whoever asks updates them for all."""

    def __init__(
        self,
        source: EventSource,
        bus: HeadAnnouncer,
        folds: Sequence[Projection],
        clock: WatchdogClock,
        cursor: Cursor | None = None,
        store: FoldPersistence | None = None,
    ) -> None:
        """Take the folds, which `store` is offered as one tuple whenever they are up to date.

        The folds see recording times on the timeline of `time`, so that ages are real elapsed time.
        """
        self.bus = bus
        self.time = SteadyTime(clock)
        self.cursor = cursor or Cursor()
        self._source = source
        self._folds = tuple(folds)
        self._store = store or NullFoldStore()
        self._one_at_a_time = asyncio.Lock()

    async def catch_up(self, *, last: bool = False) -> None:
        """Fold everything committed so far. Raises LogDamaged if the log skips or repeats an event."""
        head_seq = self.bus.head_seq
        async with self._one_at_a_time:
            self.time.update()
            while self.cursor.seq < head_seq:
                events = self._source.read(self.cursor.seq, FOLLOW_EVENTS_MAX)
                if not events:
                    return
                self.cursor.advance(events)
                fold(self._folds, self._placed(events))
                await asyncio.sleep(0)
            if not self.time.has_jumped:  # Another run has another timeline.
                await self._store.save(self.cursor.seq, self._folds, last=last)

    def _placed(self, events: Sequence[Recorded]) -> Sequence[Recorded]:
        if not self.time.has_jumped:
            return events
        return [replace(one, recorded_at_ms=self.time.to_steady_ms(one.recorded_at_ms)) for one in events]


async def closed_within(bus: HeadAnnouncer, clock: WatchdogClock, seconds: float) -> bool:
    """Wait so many seconds, or until the bus is closed; return whether it is closed."""
    sleeping = asyncio.ensure_future(clock.sleep(seconds))
    closing = asyncio.ensure_future(bus.wait_beyond(SEQ_NEVER))
    try:
        done, _ = await asyncio.wait({sleeping, closing}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in (sleeping, closing):
            task.cancel()
        await asyncio.gather(sleeping, closing, return_exceptions=True)
    return bus.closed


class RepairView(Struct, frozen=True):
    """One attempted repair."""

    at_ms: int
    kind: str
    subject: str
    detail: str


class WatchdogView(Struct, frozen=True):
    """The watchdog's status. `checked_at_ms` is 0 before the first check; `troubles` are the problems it found last."""

    checked_at_ms: int
    checks: int
    anomalies: tuple[AnomalyCase, ...]
    troubles: tuple[DetectedProblem, ...]
    repairs: tuple[RepairView, ...]


class Watchdog:
    """The watchdog. `following` must fold its four views; `make_watchdog` below assembles them.

    `portfolio` is shared with the heartbeat. `repairs` are called by kind with the problem's subject, and return what
    they did. They and `measure` may fail with `OUTSIDE_ERRORS`. `report` commits facts; an error that it raises ends
    the watchdog.
    """

    def __init__(
        self,
        following: FoldFollower,
        vitals: Liveness,
        anomalies: Anomalies,
        portfolio: Portfolio,
        promised: Promised,
        clock: WatchdogClock,
        measure: Callable[[], Awaitable[ProcessMeasurements]],
        repairs: Mapping[str, Callable[[str], Awaitable[str]]],
        report: Callable[[Sequence[Event]], Awaitable[None]],
        settings: WatchdogSettings,
    ) -> None:
        self.following, self.vitals, self.anomalies, self.portfolio = following, vitals, anomalies, portfolio
        self._promised, self._clock, self._measure, self._report = promised, clock, measure, report
        self._repairs, self._settings = dict(repairs), settings
        self._problems: tuple[DetectedProblem, ...] = ()
        self._tried: deque[RepairView] = deque(maxlen=REPAIRS_KEPT_MAX)
        self._checked_at_ms = self._checks = 0

    @property
    def view(self) -> WatchdogView:
        """What it found and did."""
        ahead_ms = self.following.time.ahead_ms
        standing = tuple(
            replace(case, raised_at_ms=case.raised_at_ms + ahead_ms, told_at_ms=case.told_at_ms + ahead_ms)
            for case in self.anomalies.open_cases()
        )
        return WatchdogView(self._checked_at_ms, self._checks, standing, self._problems, tuple(self._tried))

    async def run(self) -> None:
        """Check again and again until the bus is closed."""
        every_s, steady = self._settings.every_s, self.following.time
        before_ms = check_from_ms = steady.now_ms()
        while not await closed_within(self.following.bus, self._clock, every_s):
            now_ms = steady.now_ms()
            if now_ms - before_ms > SLEPT_TIMES * every_s * 1_000.0:
                check_from_ms = now_ms + AWAKE_MS
            if not check_from_ms - AWAKE_MS <= now_ms < check_from_ms:
                await self.inspect()
            before_ms = steady.now_ms()
        await self.following.catch_up(last=True)

    async def inspect(self) -> None:
        """Fold new events, detect problems, try repairs, and report what is new, ongoing or over."""
        await self.following.catch_up()
        now_ms = self.following.time.now_ms()
        measured = await self._measured()
        problems = find_problems(self.vitals, measured, now_ms, self._settings)
        problems += find_drifts(self._promised.views())
        for problem in self.anomalies.to_repair(problems, now_ms, tuple(self._repairs))[:REPAIRS_PER_CHECK_MAX]:
            await self._commit_events([await self._repaired(problem)])
        facts = self.anomalies.to_report(problems, self.following.time.now_ms(), unmeasured_kinds(measured))
        await self._commit_events([self._by_the_clock(event) for event in facts])
        self._problems, self._checked_at_ms = tuple(problems), self._clock.now_ms()
        self._checks += 1

    async def _commit_events(self, events: Sequence[Event]) -> None:
        """Commit and fold, unless the engine has already recorded its stop."""
        if events and not self.following.bus.closed:
            await self._report(events)
            await self.following.catch_up()

    def _by_the_clock(self, event: Anomaly) -> Event:
        """Convert an anomaly's times to the machine's clock; the intervals between them stay."""
        ahead_ms = self.following.time.ahead_ms
        moved = replace(event, at_ms=event.at_ms + ahead_ms)
        return (
            replace(moved, raised_at_ms=moved.raised_at_ms + ahead_ms) if isinstance(moved, AnomalyPersists) else moved
        )

    async def _measured(self) -> ProcessMeasurements:
        try:
            async with asyncio.timeout(MEASURE_S_MAX):
                return await self._measure()
        except OUTSIDE_ERRORS:
            return ProcessMeasurements()

    async def _repaired(self, problem: DetectedProblem) -> RepairTried:
        try:
            async with asyncio.timeout(REPAIR_S_MAX):
                done = await self._repairs[problem.kind](problem.subject)
        except TimeoutError:
            done = f"failed: it took longer than {REPAIR_S_MAX:g} s"
        except OUTSIDE_ERRORS as error:
            done = f"failed: {error}"
        tried = RepairTried(self._clock.now_ms(), problem.kind.value, problem.subject, done[:500])
        self._tried.append(RepairView(tried.at_ms, tried.kind, tried.subject, tried.detail))
        return tried


def make_watchdog(
    source: EventSource,
    bus: HeadAnnouncer,
    clock: WatchdogClock,
    timeframes_ms: Mapping[str, int],
    measure: Callable[[], Awaitable[ProcessMeasurements]],
    repairs: Mapping[str, Callable[[str], Awaitable[str]]],
    report: Callable[[Sequence[Event]], Awaitable[None]],
    settings: WatchdogSettings,
    store: FoldPersistence | None = None,
) -> Watchdog:
    """Return a watchdog with its own folds, restored from `store` if possible."""
    store = store or NullFoldStore()
    portfolio = Portfolio()
    fresh = (Liveness(timeframes_ms), Anomalies(AnomalyTimings.of(settings)), portfolio, Promised(portfolio))
    folds, seq = store.restore(fresh)
    following = FoldFollower(source, bus, folds, clock, Cursor(seq), store)
    return Watchdog(following, *folds, clock, measure, repairs, report, settings)
