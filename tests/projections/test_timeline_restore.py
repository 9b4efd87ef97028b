"""A restarted timeline has its head at once, and nothing depends on the kept views."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from papertape.events.bus import Bus
from papertape.events.errors import LogDamaged
from papertape.events.log import Entry
from papertape.events.snapshots import SnapshotStore
from papertape.events.units import MINUTE_MS
from papertape.projections.persistence.fold_store import FoldStore
from papertape.projections.site.checkpoints import DISTANCE_EVENTS_MIN
from papertape.projections.site.views import Views
from tests.build import DAY_0_MS, candle
from tests.events.loop import in_loop
from tests.patience import PATIENCE_S
from tests.projections.portrait import portrait
from tests.projections.timeline_log import TimelineLog, everything, followed_log, following, story

if TYPE_CHECKING:
    from pathlib import Path


class ViewsFolder:
    """A folder of kept views."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.warnings = folder, list[str]()

    def of(self, here: TimelineLog) -> FoldStore:
        """Return the store of this log's views."""
        store = SnapshotStore(self.folder, self.warnings.append)
        return FoldStore(store, here.log.reader(), lambda: 0, self.warnings.append, events_min=100)

    def files(self) -> list[Path]:
        return sorted(self.folder.glob("*.snapshot"))


async def kept_story(folder: Path, count: int) -> tuple[TimelineLog, ViewsFolder]:
    """Keep the views at the end of a story; the bus is new."""
    there = ViewsFolder(folder)
    async with followed_log(*story(count)) as (here, timeline):
        await there.of(here).save(timeline.views.seq, await timeline.as_of(timeline.views.seq))
    here.bus = Bus(here.log.head.seq)
    return here, there


@in_loop
async def test_the_restored_head_and_every_earlier_event_are_available_at_once(tmp_path: Path) -> None:
    here, there = await kept_story(tmp_path, 3 * DISTANCE_EVENTS_MIN)
    until, timeline = len(here.events), here.with_store(there.of(here))
    async with following(timeline):
        assert await timeline.wait_beyond(0) == until, "no page was folded before"
        for place in (until, 5, 2_000, until - 1, DISTANCE_EVENTS_MIN):
            assert portrait(await timeline.as_of(place)) == portrait(here.folded(place)), place
        await here.append(candle(99_999, 3.0))
        assert await timeline.wait_beyond(until) == until + 1
        assert portrait(timeline.views) == portrait(here.folded(until + 1))
        at_ms = DAY_0_MS + 1_000 * MINUTE_MS
        assert here.events[await timeline.seq_at(at_ms)] == candle(1_000, 100.0 + 1_000 % 7)
        async with asyncio.timeout(PATIENCE_S):
            while not timeline.statistics().near_everywhere:  # noqa: ASYNC110 - it tells nobody.
                await asyncio.sleep(0.01)
        assert timeline.statistics().checkpoints == until // DISTANCE_EVENTS_MIN, "the places before are filled up"
    assert not there.warnings


@in_loop
async def test_a_running_timeline_saves_its_views(tmp_path: Path) -> None:
    here, there = TimelineLog(), ViewsFolder(tmp_path)
    timeline = here.with_store(there.of(here))
    async with following(timeline):
        await here.append(*story(200))
        await timeline.wait_beyond(len(here.events) - 1)
        async with asyncio.timeout(PATIENCE_S):
            while not there.files():  # noqa: ASYNC110 - a file tells nobody.
                await asyncio.sleep(0.01)
    views, seq = there.of(here).restore(Views())
    assert views.seq == seq == here.log.head.seq
    assert portrait(views) == portrait(here.folded(seq))
    assert not there.warnings


@in_loop
async def test_views_of_another_log_are_not_restored(tmp_path: Path) -> None:
    _, there = await kept_story(tmp_path, 100)
    here = TimelineLog()
    await here.append(*everything())
    timeline = here.with_store(there.of(here))
    async with following(timeline):
        while timeline.views.seq < len(here.events):
            await timeline.wait_beyond(timeline.views.seq)
        assert portrait(timeline.views) == portrait(here.folded(len(here.events)))
    assert "another event" in there.warnings[0]


@in_loop
async def test_damage_before_the_restored_seq_is_still_reported(tmp_path: Path) -> None:
    here, there = await kept_story(tmp_path, 600)
    del here.log.rows[0]
    timeline = here.with_store(there.of(here))
    running = asyncio.ensure_future(timeline.run())
    assert await timeline.wait_beyond(0) == len(here.events)
    with pytest.raises(LogDamaged):
        await timeline.as_of(3)
    head = await here.log.append(here.log.head.seq, [Entry(candle(99_999, 3.0))])
    here.bus.publish(head.seq)
    with pytest.raises(LogDamaged):
        await running
    timeline.close()
