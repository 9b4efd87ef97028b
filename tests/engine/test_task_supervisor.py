"""No failure goes unnoticed: a failing task stops the engine with its name and the seq up to which the log is whole."""

from __future__ import annotations

import asyncio
import gc
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from papertape.engine.ports.clock import ManualClock
from papertape.engine.startup import open_engine
from papertape.engine.task_supervisor import LAST_WORDS_S, WATCHERS_END_S, supervise
from papertape.events.errors import ConfigError, EngineFault, LogHeld, MarketDataError
from papertape.events.facts import EngineStopped
from tests.engine.logs import recorded
from tests.engine.parts import Given, busy, busy_tape, settings
from tests.events.loop import in_loop
from tests.patience import PATIENCE_S, stretched

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path

    from papertape.engine.ports.feed import ResumePoint
    from papertape.engine.startup import Engine
    from papertape.events.facts import FeedConnected, FeedFact

    Made = Callable[[], Awaitable[None]]


class Breaking(Given):
    """A feed that breaks behind its first facts."""

    def __init__(self, error: Exception) -> None:
        super().__init__(busy().contracts(), busy_tape().events()[:100])
        self.error = error

    async def facts(
        self, seen: Mapping[str, ResumePoint], anchor: FeedConnected | None
    ) -> AsyncIterator[list[FeedFact]]:
        async for batch in super().facts(seen, anchor):
            yield batch
        raise self.error


ENDS_WITHIN_S = 1.9
"""SIGTERM ends an engine within two seconds."""


async def forever() -> None:
    await asyncio.Event().wait()


async def failing(error: Exception) -> None:
    await asyncio.sleep(0.01)
    raise error


async def ended(db: Path, work: Made | None, watchers: Mapping[str, Made], feed: Given) -> int:
    """An engine under its supervisor; the seq at which it stood."""
    running: Engine
    async with open_engine(settings(db), feed.contracts(), ManualClock(), print) as running:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await supervise(work or partial(running.loop.run, feed), watchers, lambda: running.log.head.seq)
        finally:
            seq = running.log.head.seq
    return seq


@in_loop
async def test_a_failing_watcher_stops_the_engine_with_its_name_and_the_seq(tmp_path: Path) -> None:
    watchers: dict[str, Made] = {"alerts": partial(failing, KeyError("token")), "view": forever}
    with pytest.raises(EngineFault, match=r"alerts failed with KeyError: 'token'; the log is whole up to seq 5$"):
        await ended(tmp_path / "log.db", forever, watchers, busy())
    assert recorded(tmp_path / "log.db")[-1].seq == 5


@in_loop
async def test_a_failing_feed_stops_the_engine_and_what_it_delivered_is_kept(tmp_path: Path) -> None:
    with pytest.raises(EngineFault, match="loop failed with ZeroDivisionError") as fault:
        await ended(tmp_path / "log.db", None, {"view": forever}, Breaking(ZeroDivisionError("a bug")))
    events = recorded(tmp_path / "log.db")
    assert str(fault.value).endswith(f"up to seq {len(events)}")
    assert len(events) > 100
    assert not any(isinstance(item.event, EngineStopped) for item in events)


@pytest.mark.parametrize("error", [MarketDataError("x.csv, line 3"), LogHeld("held")])
@in_loop
async def test_an_error_of_ours_keeps_its_name_and_exit_code(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error), match=str(error)):
        await ended(tmp_path / "log.db", None, {}, Breaking(error))


@in_loop
async def test_watchers_that_do_not_end_are_cancelled_within_the_time_an_end_may_take() -> None:
    started = time.monotonic()
    await supervise(partial(asyncio.sleep, 0), {"stuck": forever, "alerts": forever}, lambda: 0, ("alerts",))
    assert WATCHERS_END_S < LAST_WORDS_S < ENDS_WITHIN_S
    assert time.monotonic() - started < stretched(ENDS_WITHIN_S)


@pytest.mark.system
@in_loop
async def test_a_failed_start_leaves_no_task_unawaited() -> None:
    """The warning of a coroutine that was made and never awaited is an error here."""
    begun = []

    def refused() -> Awaitable[None]:
        raise ConfigError("a bad variable")

    async def first() -> None:
        begun.append("first")

    with pytest.raises(ConfigError, match="a bad variable"):
        await supervise(first, {"first": first, "second": refused}, lambda: 0)
    gc.collect()
    assert begun == []


@in_loop
async def test_a_watcher_that_ends_by_itself_stops_nothing(tmp_path: Path) -> None:
    seq = await ended(tmp_path / "log.db", None, {"done": partial(asyncio.sleep, 0)}, busy())
    assert seq > 400


@in_loop
async def test_a_watcher_that_fails_behind_the_work_is_named_too() -> None:
    with pytest.raises(EngineFault, match="alerts failed with OSError"):
        await supervise(partial(asyncio.sleep, 0), {"alerts": partial(failing, OSError("late"))}, lambda: 7)
