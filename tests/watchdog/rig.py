"""A rig for the watchdog: a log in memory that grows in virtual time, and a watchdog that follows it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from papertape.events.bus import Bus
from papertape.events.facts import (
    AnomalyCleared,
    AnomalyPersists,
    AnomalyRaised,
    EngineStarted,
    Event,
    FeedConnected,
    RepairTried,
)
from papertape.events.log import Entry, Recorded
from papertape.events.memory_log import MemoryEventLog
from papertape.events.units import HOUR_MS, MINUTE_MS
from papertape.projections.watchdog.checks import ProcessMeasurements
from papertape.projections.watchdog.liveness import Liveness
from papertape.projections.watchdog.settings import WatchdogSettings
from papertape.projections.watchdog.watchdog import Watchdog, make_watchdog
from tests.build import candle_at, configured
from tests.sandbox.virtual_time import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

START_MS: Final = 20_600 * 24 * HOUR_MS
SETTINGS: Final = WatchdogSettings()
TIMEFRAMES: Final = {"momentum": 15 * MINUTE_MS, "funding": 5 * MINUTE_MS}
SYMBOLS: Final = ("BTCUSDT", "GALAUSDT")
TOLD = AnomalyRaised | AnomalyCleared | AnomalyPersists


def opening(speed: float = 1.0, strategies: Iterable[str] = TIMEFRAMES, at_ms: int = START_MS) -> list[Event]:
    """Return an engine's start, its strategies, and a feed that connects."""
    runners = [configured(name, SYMBOLS, at_ms=at_ms) for name in strategies]
    return [EngineStarted(at_ms, "test", "", ""), *runners, FeedConnected(at_ms, "bitget", at_ms, speed)]


def vitals_of(events: Iterable[tuple[int, Event]], timeframes_ms: Mapping[str, int] = TIMEFRAMES) -> Liveness:
    """Return the liveness after some events, each with its recording time."""
    vitals = Liveness(timeframes_ms)
    for seq, (recorded_at_ms, event) in enumerate(events, start=1):
        vitals.apply(Recorded(seq, recorded_at_ms, 0, event))
    return vitals


class WatchdogRig:
    """A log in memory, its bus, the measurements of the process, and a watchdog.

    `delivering` are the symbols with candles in `market`; tests change them to simulate faults.
    """

    def __init__(
        self,
        clock: VirtualClock,
        repairs: Mapping[str, Callable[[str], Awaitable[str]]] | None = None,
        settings: WatchdogSettings = SETTINGS,
    ) -> None:
        self.clock, self.settings, self.repairs = clock, settings, dict(repairs or {})
        self.log = MemoryEventLog(clock_ms=clock.now_ms)
        self.bus = Bus()
        self.measured = ProcessMeasurements()
        self.delivering: dict[str, None] = dict.fromkeys(SYMBOLS)
        self.watchdog = self.start_watchdog()

    def start_watchdog(self) -> Watchdog:
        """Start a new watchdog, as after a restart: it knows only the log."""
        reader = self.log.reader()
        made = (TIMEFRAMES, self.measure, self.repairs, self.report, self.settings)
        self.watchdog = make_watchdog(reader, self.bus, self.clock, *made)
        return self.watchdog

    async def measure(self) -> ProcessMeasurements:
        return self.measured

    async def report(self, events: Sequence[Event]) -> None:
        await self.say(*events)

    async def say(self, *events: Event) -> None:
        """Commit events."""
        self.bus.publish((await self.log.append(self.log.head.seq, [Entry(event) for event in events])).seq)

    def set(self, **given: object) -> None:
        """Change the measurements."""
        self.measured = replace(self.measured, **given)

    async def market(self) -> None:
        """Commit a candle of every delivering symbol each minute, two seconds after its close."""
        while True:
            close_ms = self.clock.now_ms() // MINUTE_MS * MINUTE_MS
            if self.delivering:
                await self.say(*(candle_at(close_ms, symbol) for symbol in self.delivering))
            await self.clock.sleep((close_ms + MINUTE_MS + 2_000 - self.clock.now_ms()) / 1_000.0)

    async def live(self, minutes: float, *, market: bool = True) -> None:
        """Run the watchdog for so long."""
        tasks = [asyncio.ensure_future(self.watchdog.run())]
        if market:
            tasks.append(asyncio.ensure_future(self.market()))
        await asyncio.wait(tasks, timeout=minutes * 60.0)
        for task in tasks:
            if task.done():
                task.result()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def recorded(self) -> list[Recorded]:
        return [one for commit in self.log.reader().commits() for one in commit.recorded()]

    def told(self, *kinds: type[Event]) -> list[Event]:
        """Return the watchdog's facts, of some kinds or all."""
        chosen = kinds or (AnomalyRaised, AnomalyCleared, AnomalyPersists, RepairTried)
        return [one.event for one in self.recorded if isinstance(one.event, chosen)]


def story(events: Iterable[Event], start_ms: int = START_MS) -> list[str]:
    """Return each fact as kind, subject and minute: `raised data_stale BTCUSDT 6`."""
    words = {AnomalyRaised: "raised", AnomalyCleared: "cleared", AnomalyPersists: "persists", RepairTried: "repair"}
    return [
        f"{words[type(event)]} {event.kind} {event.subject} {(event.at_ms - start_ms) / MINUTE_MS:.1f}"
        for event in events
        if isinstance(event, TOLD | RepairTried)
    ]


def outline(events: Iterable[Event]) -> list[str]:
    """Return the story without times."""
    return [line.rsplit(" ", 1)[0] for line in story(events)]
