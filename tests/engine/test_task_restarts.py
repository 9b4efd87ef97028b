"""A failed task beside the engine is restarted; that is reported, visible meanwhile, and recorded in the log."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from papertape.engine.task_restarts import PAUSE_S_MAX, TaskRestarter
from papertape.events.bus import Bus
from papertape.events.facts import RepairTried
from tests.sandbox.virtual_time import VirtualClock, run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from papertape.events.facts import Event


class Home:
    """Companions with a bus and a clock; what they warned of, reported, and when each was begun."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock, self.bus = clock, Bus()
        self.warned: list[str] = []
        self.reported: list[Event] = []
        self.begun_s: list[float] = []
        self.companions = TaskRestarter(self.bus, clock, self.warned.append, self._report)

    async def _report(self, events: Sequence[Event]) -> None:
        self.reported += events

    def failing(self, times: int) -> Callable[[], Awaitable[None]]:
        """A task that fails so often, then ends well."""

        async def work() -> None:
            self.begun_s.append(self.clock.now_ms() / 1_000.0)
            await asyncio.sleep(0)
            if len(self.begun_s) <= times:
                raise ValueError(f"defect {len(self.begun_s)}")

        return work


def test_a_task_that_failed_is_started_again_and_each_start_is_an_event() -> None:
    async def main(clock: VirtualClock) -> Home:
        home = Home(clock)
        await home.companions.run_with_restarts("alerts", home.failing(2))
        return home

    home = run(main)
    assert home.begun_s == [0.0, 2.0, 6.0]
    assert [(one.kind, one.subject, one.detail) for one in home.reported if isinstance(one, RepairTried)] == [
        ("task_dead", "alerts", "restarted after ValueError: defect 1"),
        ("task_dead", "alerts", "restarted after ValueError: defect 2"),
    ]
    assert home.warned[0] == "alerts failed with ValueError: defect 1; it is restarted, trading continues"
    assert home.companions.dead == set()


def test_a_task_that_is_down_is_visible() -> None:
    async def main(clock: VirtualClock) -> list[bool]:
        home, seen = Home(clock), list[bool]()
        keeping = asyncio.ensure_future(home.companions.run_with_restarts("chat", home.failing(1)))
        for _ in range(4):
            await asyncio.sleep(0.9)
            seen.append("chat" in home.companions.dead)
        await keeping
        return seen

    assert run(main) == [True, True, False, False]


def test_pauses_grow_up_to_a_minute_and_no_further() -> None:
    async def main(clock: VirtualClock) -> Home:
        home = Home(clock)
        await home.companions.run_with_restarts("backup", home.failing(9))
        return home

    begun_s = run(main).begun_s
    pauses = [after - before for before, after in pairwise(begun_s)]
    assert pauses == [2.0, 4.0, 8.0, 16.0, 32.0, *[PAUSE_S_MAX] * 4]


def test_an_engine_that_stops_restarts_no_task() -> None:
    async def main(clock: VirtualClock) -> Home:
        home = Home(clock)
        keeping = asyncio.ensure_future(home.companions.run_with_restarts("alerts", home.failing(5)))
        await asyncio.sleep(1)
        home.bus.close()
        await keeping
        return home

    home = run(main)
    assert len(home.begun_s) == 1
    assert home.reported == []


def test_cancelling_the_restarter_ends_its_task() -> None:
    async def main(clock: VirtualClock) -> bool:
        home, ended = Home(clock), asyncio.Event()

        async def endless() -> None:
            try:
                await asyncio.sleep(1e6)
            finally:
                ended.set()

        keeping = asyncio.ensure_future(home.companions.run_with_restarts("alerts", endless))
        await asyncio.sleep(1)
        keeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await keeping
        return ended.is_set()

    assert run(main)
