"""A log in memory with a timeline, and stories long enough to pass checkpoints."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from papertape.events.bus import Bus
from papertape.events.log import Entry
from papertape.events.log_thread import LogThread
from papertape.events.memory_log import MemoryEventLog
from papertape.projections.host import fold
from papertape.projections.site.timeline import LogTimeline
from papertape.projections.site.views import Views
from tests.alerts.random_log import EVENTS_MAX, random_log
from tests.build import candle, closed, configured, opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from papertape.events.facts import Event
    from papertape.events.log import Recorded
    from papertape.projections.persistence.fold_store import FoldCheckpoints

DISTANCE_EVENTS = 256
"""Checkpoints are closer to each other than those of the program, so that short stories have many."""


class TimelineLog:
    """A log in memory, its bus, and a timeline that follows it."""

    def __init__(self) -> None:
        self.log, self.bus = MemoryEventLog(clock_ms=lambda: 0), Bus()
        self.timeline = self.with_store()
        self.events: list[Event] = []

    def with_store(self, checkpoints: FoldCheckpoints | None = None) -> LogTimeline:
        """Return another timeline over the same log."""
        self.followed = LogTimeline(
            lambda: (self._open_bus(), LogThread(self.log.reader)), Views, checkpoints, DISTANCE_EVENTS
        )
        return self.followed

    def _open_bus(self) -> Bus:
        if self.bus.closed:
            self.bus = Bus(self.log.head.seq)
        return self.bus

    async def append(self, *events: Event, a_commit: int = 50) -> None:
        self.events += events
        for first in range(0, len(events), a_commit):
            head = await self.log.append(
                self.log.head.seq, [Entry(event) for event in events[first : first + a_commit]]
            )
            self.bus.publish(head.seq)

    def recorded(self) -> list[Recorded]:
        return [one for commit in self.log.reader().commits() for one in commit.recorded()]

    def folded(self, seq: int) -> Views:
        """Return the oracle: everything up to an event, folded from the beginning."""
        views = Views()
        for commit in self.log.reader().commits():
            fold([views], (one for one in commit.recorded() if one.seq <= seq))
        return views


@asynccontextmanager
async def following(timeline: LogTimeline) -> AsyncIterator[asyncio.Task[None]]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(timeline.run())
        try:
            yield task
        finally:
            timeline.close()


@asynccontextmanager
async def followed_log(*events: Event) -> AsyncIterator[tuple[TimelineLog, LogTimeline]]:
    here = TimelineLog()
    async with following(here.timeline):
        await here.append(*events)
        if events:
            await here.timeline.wait_beyond(len(events) - 1)
        yield here, here.timeline


def story(count: int) -> list[Event]:
    """Return a runner that trades every few minutes, over several checkpoint distances."""
    events: list[Event] = [configured()]
    for minute in range(count):
        events.append(candle(minute, 100.0 + minute % 7))
        if minute % 10 == 3:
            events.append(opened(at_ms=events[-1].at_ms))
        if minute % 10 == 6:
            events.append(closed(minute % 5 - 2.0, at_ms=events[-1].at_ms))
    return events


def everything(length: int = EVENTS_MAX) -> list[Event]:
    return [recorded.event for seed in range(4) for recorded in random_log(seed, length)]
