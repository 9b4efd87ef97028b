"""While the views are being built, the end of the log is shown from the log itself, and no figure of a part."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from papertape.api.views.history import run_search
from papertape.events.bus import Bus
from papertape.events.errors import LogBusy
from papertape.events.log_thread import LogThread
from papertape.events.tail import Tail
from papertape.projections.site.event_query import EventFilter, Search
from papertape.projections.site.timeline import LogTimeline
from papertape.projections.site.unfolded import FIRST_EVENTS, NEWEST_EVENTS
from papertape.projections.site.views import Views
from tests.build import BTC, candle, configured, listed
from tests.events.loop import in_loop
from tests.projections.test_timeline_restore import ViewsFolder, until_near
from tests.projections.timeline_log import DISTANCE_EVENTS, TimelineLog, following, story

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.events.log import EventStretch
    from papertape.projections.persistence.fold_store import FoldCheckpoints

LENGTH = FIRST_EVENTS + NEWEST_EVENTS + 8 * DISTANCE_EVENTS
"""A log whose beginning and end do not meet."""
BATCH_S = 0.05


class SlowViews(Views):
    """Views whose fold holds up the loop, and takes far longer than an answer."""

    def take(self, stretch: EventStretch) -> None:
        time.sleep(BATCH_S)
        super().take(stretch)


def slow_timeline(here: TimelineLog, checkpoints: FoldCheckpoints | None = None) -> LogTimeline:
    return LogTimeline(lambda: (here.bus, LogThread(here.log.reader)), SlowViews, checkpoints, DISTANCE_EVENTS)


@in_loop
async def test_the_newest_events_and_names_are_there_long_before_the_figures() -> None:
    here = TimelineLog()
    await here.append(listed(tick=(1, 100)), *story(LENGTH), a_commit=50)
    head_seq = len(here.events)
    async with following(timeline := slow_timeline(here)):
        views = await timeline.unfolded()
        found = await run_search(Search(EventFilter(everything=True), {}, 1, views.seq, 60), timeline)
        folding = timeline.folding
        assert folding is not None
        assert folding.seq < head_seq / 4, "the fold has hardly begun"
    assert [one.seq for one in found.events] == [*range(head_seq, head_seq - 60, -1)]
    assert (views.seq, views.at_ms, views.strategies) == (head_seq, here.events[-1].at_ms, ("momentum",))
    assert views.contracts.by_symbol[BTC] == here.events[0]
    assert views.freshness[BTC].at_ms == views.at_ms


@in_loop
async def test_they_have_no_figure() -> None:
    here = TimelineLog()
    await here.append(*story(LENGTH))
    async with following(timeline := slow_timeline(here)):
        views = await timeline.unfolded()
        assert timeline.folding is not None
    assert (views.portfolio.accounts(), views.portfolio.positions(), views.trades.closed()) == ((), (), ())
    assert (views.arena.rows(), views.alerts, tuple(views.recent)) == ((), (), ())
    assert views.portfolio.view().trips == ()


@in_loop
async def test_they_follow_the_log_as_it_grows() -> None:
    here = TimelineLog()
    await here.append(*story(LENGTH))
    async with following(timeline := slow_timeline(here)):
        before = (await timeline.unfolded()).seq
        await here.append(configured("vwap_rsi"), candle(9_999_999, 4.0))
        views = await timeline.unfolded()
        assert timeline.folding is not None
        assert (views.seq, views.strategies) == (before + 2, ("momentum", "vwap_rsi"))


async def unfolded_after_an_upgrade(here: TimelineLog, folder: Path) -> Views:
    """Return what is known of a log that is indexed, and whose kept views other code has made."""
    there = ViewsFolder(folder)
    async with following(whole := here.with_store(there.open())):
        await until_near(whole)
    here.bus = Bus(here.log.head.seq)
    async with following(timeline := slow_timeline(here, there.open("other code"))):
        views = await timeline.unfolded()
        assert timeline.folding is not None
    return views


@in_loop
async def test_the_index_knows_where_the_configuration_changed(tmp_path: Path) -> None:
    """Neither the beginning nor the end of the log names the second contract and the second strategy."""
    here, events = TimelineLog(), story(LENGTH)
    middle = FIRST_EVENTS + 3 * DISTANCE_EVENTS
    await here.append(*events[:middle], listed("ETHUSDT"), configured("vwap_rsi"), *events[middle:])
    views = await unfolded_after_an_upgrade(here, tmp_path)
    assert "ETHUSDT" in views.contracts.by_symbol
    assert views.strategies == ("momentum", "vwap_rsi")


@in_loop
async def test_a_change_of_the_configuration_at_the_end_hides_no_candle(tmp_path: Path) -> None:
    here = TimelineLog()
    await here.append(*story(LENGTH), configured("vwap_rsi"))
    views = await unfolded_after_an_upgrade(here, tmp_path)
    assert (views.strategies, set(views.freshness)) == (("momentum", "vwap_rsi"), {BTC})


@in_loop
async def test_nothing_beyond_the_known_end_of_the_log_is_shown() -> None:
    here = TimelineLog()
    await here.append(*story(LENGTH))
    head_seq = len(here.events)
    late = Bus(head_seq)
    timeline = LogTimeline(lambda: (late, LogThread(here.log.reader)), SlowViews, None, DISTANCE_EVENTS)
    async with following(timeline):
        assert (await timeline.unfolded()).seq == head_seq
        for minute in (9_999_998, 9_999_999):
            await here.append(candle(minute, 4.0))
        assert (await timeline.unfolded()).seq == head_seq
        late.publish(head_seq + 1)
        assert (await timeline.unfolded()).seq == head_seq + 1


@in_loop
async def test_before_the_log_is_looked_at_nothing_is_known() -> None:
    here = TimelineLog()
    tail = Tail(lambda: 0)
    timeline = LogTimeline(lambda: (tail, LogThread(here.log.reader)), Views)
    with pytest.raises(LogBusy, match="event 0 of 1"):
        await timeline.unfolded()
    timeline.close()
