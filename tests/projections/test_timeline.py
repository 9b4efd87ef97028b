"""The views of a log at its head and as of any event, in memory and beside a running writer."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

import pytest

from papertape.events.errors import LogBusy, LogDamaged, LogForeign, LogReplaced, UsageError
from papertape.events.facts import Timing
from papertape.events.log import Entry
from papertape.events.log_thread import LogThread
from papertape.events.sqlite_log import SqliteEventLog, SqliteLogReader
from papertape.events.tail import Tail, make_tail
from papertape.events.units import MINUTE_MS
from papertape.projections.site.ports import Progress
from papertape.projections.site.timeline import SEEKS_WAITING_MAX, LogTimeline
from papertape.projections.site.views import Views
from tests.build import DAY_0_MS, candle, configured, opened
from tests.events.loop import in_loop
from tests.patience import PATIENCE_S
from tests.projections.portrait import portrait
from tests.projections.timeline_log import DISTANCE_EVENTS, TimelineLog, everything, followed_log, following, story

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from papertape.events.facts import Event
    from papertape.events.log import LogReader, Recorded
    from papertape.projections.site.ports import Timeline

T = TypeVar("T")
OFTEN_S, SELDOM_S = 0.002, 60.0


def as_port(timeline: LogTimeline) -> Timeline:
    """Return the timeline as the port of the pages, for the type checker."""
    return timeline


@in_loop
async def test_the_head_is_followed() -> None:
    async with followed_log(*everything()) as (here, timeline):
        assert timeline.views.seq == timeline.head_seq == len(here.events)
        assert portrait(timeline.views) == portrait(here.folded(len(here.events)))
        waiting = asyncio.ensure_future(as_port(timeline).wait_beyond(timeline.views.seq))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        await here.append(candle(999, 5.0))
        assert await waiting == timeline.views.seq == len(here.events)


@in_loop
async def test_the_first_fold_reports_progress_and_refuses_later_events() -> None:
    here = TimelineLog()
    await here.append(*story(3_000))
    head_seq = len(here.events)
    async with following(here.timeline):
        await asyncio.sleep(0)
        folding = here.timeline.folding
        assert folding is not None
        assert folding.goal_seq == head_seq
        with pytest.raises(LogBusy, match=f"event {folding.seq:,} of {head_seq:,}"):
            await here.timeline.as_of(head_seq)
        await here.timeline.wait_beyond(head_seq - 1)
        assert here.timeline.folding is None
        await here.append(candle(9_999, 5.0))
        assert here.timeline.folding is None, "what comes later is followed, not awaited"


@in_loop
async def test_while_the_log_cannot_be_read_yet_nothing_is_shown_as_the_whole() -> None:
    """An engine that restarts may hold its log for a moment: empty views are not an empty log."""
    here, busy = TimelineLog(), True
    await here.append(*story(30))

    def poll() -> int:
        if busy:
            raise LogBusy("another process has it")
        return len(here.events)

    timeline = LogTimeline(lambda: (Tail(poll, every_s=0.001), LogThread(here.log.reader)), Views)
    assert timeline.folding == Progress(0, 1)
    async with following(timeline):
        await asyncio.sleep(0.01)
        assert timeline.folding == Progress(0, 1)
        busy = False
        await timeline.wait_beyond(len(here.events) - 1)
        assert timeline.folding is None
    async with followed_log() as (_, empty):
        assert empty.folding is None, "a log without events is no log that is being read"


@in_loop
async def test_a_time_after_the_newest_event_gives_the_newest_state(tmp_path: Path) -> None:
    """This holds even if the log has events that the tail has not seen yet."""
    path = tmp_path / "log.db"
    await write(path, [configured(), candle(1, 5.0)])
    timeline = of_file(path, 0.5)
    async with following(timeline):
        await timeline.wait_beyond(1)
        await write(path, [candle(2, 6.0)])
        seq = await timeline.seq_at(DAY_0_MS + 99 * MINUTE_MS)
        assert seq == timeline.head_seq == 3
        assert (await timeline.as_of(seq)).seq == 3


@pytest.mark.system
@in_loop
async def test_the_views_as_of_every_event_are_available() -> None:
    async with followed_log(*everything()) as (here, timeline):
        for seq in (*range(1, 40), *range(len(here.events), 40, -7), len(here.events), 1):
            views = await timeline.as_of(seq)
            assert views.seq == seq
            assert portrait(views) == portrait(here.folded(seq)), seq
        assert portrait(timeline.views) == portrait(here.folded(len(here.events)))


@in_loop
async def test_the_views_as_of_every_event_are_available_beyond_many_checkpoints() -> None:
    events = story(16 * DISTANCE_EVENTS)
    async with followed_log(*events) as (here, timeline):
        for place in (1, DISTANCE_EVENTS - 1, DISTANCE_EVENTS, DISTANCE_EVENTS + 1, 3_333, len(events)):
            assert portrait(await timeline.as_of(place)) == portrait(here.folded(place)), place


@in_loop
async def test_requested_views_do_not_change_while_the_log_grows() -> None:
    async with followed_log(*story(300)) as (here, timeline):
        at_head, seq = await timeline.as_of(timeline.head_seq), timeline.head_seq
        before = portrait(at_head)
        await here.append(*story(50)[1:])
        await timeline.wait_beyond(seq)
        assert at_head.seq == seq
        assert portrait(at_head) == before
        assert (await timeline.as_of(seq)) is at_head, "it is remembered"


@pytest.mark.parametrize("seq", [-1, 0, 5, 1 << 70])
def test_an_unknown_event_is_refused(seq: int) -> None:
    async def story() -> None:
        async with followed_log(configured(), *[candle(minute, 1.0) for minute in range(3)]) as (_, timeline):
            with pytest.raises(UsageError, match="1 to 4"):
                await timeline.as_of(seq)

    asyncio.run(story())


@in_loop
async def test_many_simultaneous_requests_are_all_answered() -> None:
    async with followed_log(*story(3_000)) as (here, timeline):
        seqs = [len(here.events) - 37 * number for number in range(SEEKS_WAITING_MAX)]
        for views, seq in zip(await asyncio.gather(*map(timeline.as_of, seqs)), seqs, strict=True):
            assert views.seq == seq
        with pytest.raises(LogBusy):
            await asyncio.gather(*map(timeline.as_of, range(1, SEEKS_WAITING_MAX + 2)))


@in_loop
async def test_a_cancelled_request_frees_its_slot() -> None:
    async with followed_log(*story(1_000)) as (_, timeline):
        for _ in range(2):
            requests = [asyncio.ensure_future(timeline.as_of(seq)) for seq in range(1, SEEKS_WAITING_MAX + 1)]
            await asyncio.sleep(0)
            for one in requests:
                one.cancel()
            await asyncio.gather(*requests, return_exceptions=True)
        assert (await timeline.as_of(500)).seq == 500


@pytest.mark.system
@in_loop
async def test_other_tasks_run_while_the_log_is_folded() -> None:
    """Measured in processor time, because on a busy machine other processes run too."""
    here = TimelineLog()
    await here.append(*story(12_000))
    begun_s, longest_s = time.thread_time(), 0.0
    async with following(here.timeline):
        while here.timeline.views.seq < here.log.head.seq:
            turn_s = time.thread_time()
            await asyncio.sleep(0)
            longest_s = max(longest_s, time.thread_time() - turn_s)
    assert longest_s < (time.thread_time() - begun_s) / 4.0


# ---------------------------------------------------------------- market time


@in_loop
async def test_a_market_time_is_the_last_event_before_a_later_close() -> None:
    candles = [candle(minute, 1.0) for minute in range(5)]
    events = [configured(), *candles[:2], opened(), *candles[2:]]
    async with followed_log(*events) as (_, timeline):
        found = [await timeline.seq_at(int(DAY_0_MS + minutes * MINUTE_MS)) for minutes in (1, 1.5, 2, 3, 5, 500)]
        assert found == [2, 2, 4, 5, 7, 7]
        for minutes in (0.9, -5_000):
            with pytest.raises(UsageError, match="begins later"):
                await timeline.seq_at(int(DAY_0_MS + minutes * MINUTE_MS))


@in_loop
async def test_late_and_warm_up_candles_do_not_turn_time_back() -> None:
    warm_up = [candle(minute, 1.0, timing=Timing.WARM_UP) for minute in range(3)]
    late = candle(3, 1.0, timing=Timing.LATE)
    events = [configured(), *warm_up, candle(4, 1.0), candle(5, 1.0), late, candle(6, 1.0)]
    async with followed_log(*events) as (_, timeline):
        found = [await timeline.seq_at(int(DAY_0_MS + minutes * MINUTE_MS)) for minutes in (5, 6, 7)]
        assert found == [5, 7, 8]
        for minutes in (1, 3, 4):
            with pytest.raises(UsageError, match="begins later"):
                await timeline.seq_at(DAY_0_MS + minutes * MINUTE_MS)


@in_loop
async def test_market_times_are_found_beyond_many_checkpoints() -> None:
    events = story(16 * DISTANCE_EVENTS)
    async with followed_log(*events) as (_, timeline):
        for minutes in (1, 700, 1_024, 3_000, 4_095, 4_096):
            at_ms = DAY_0_MS + minutes * MINUTE_MS
            later = [seq for seq, event in enumerate(events, 1) if _closed_after(event, at_ms)]
            assert await timeline.seq_at(at_ms) == (later[0] - 1 if later else len(events))


def _closed_after(event: Event, at_ms: int) -> bool:
    return type(event).__name__ == "CandleClosed" and event.at_ms > at_ms


@in_loop
async def test_an_empty_log_has_no_market_time() -> None:
    async with followed_log() as (_, timeline):
        assert (timeline.head_seq, timeline.views.seq) == (0, 0)
        with pytest.raises(UsageError):
            await timeline.seq_at(DAY_0_MS)
        with pytest.raises(UsageError, match="nothing"):
            await timeline.as_of(1)


@in_loop
async def test_events_are_read_from_the_log() -> None:
    async with followed_log(*story(20)) as (here, timeline):
        assert list(await timeline.events(3, 5)) == here.log.reader().read(3, 5)
        assert list(await timeline.events(1_000, 5)) == []
        with pytest.raises(UsageError):
            await timeline.events(0, 0)


# ---------------------------------------------------------------- files


def of_file(path: Path, every_s: float = OFTEN_S) -> LogTimeline:
    return LogTimeline(lambda: (make_tail(path, every_s), LogThread(lambda: SqliteLogReader(path))), Views)


async def write(path: Path, events: Sequence[Event]) -> None:
    log = await SqliteEventLog.open(path, clock_ms=lambda: 0)
    await log.append(log.head.seq, [Entry(event) for event in events])
    await log.close()


class Overtaken:
    """A reader of a log that grows by one event after its end was determined and before it is read."""

    def __init__(self, path: Path, late: Event) -> None:
        self._path, self._late = path, [late]
        self._pages = LogThread(lambda: SqliteLogReader(path))
        self.close = self._pages.close

    async def run(self, use: Callable[[LogReader], T], /) -> T:
        while self._late:
            await write(self._path, [self._late.pop()])
        return await self._pages.run(use)

    async def read(self, after_seq: int, limit: int = 100, /) -> list[Recorded]:
        return await self._pages.read(after_seq, limit)


@in_loop
async def test_the_head_is_never_behind_the_folded_events(tmp_path: Path) -> None:
    path, events = tmp_path / "log.db", story(20)
    await write(path, events)
    timeline = LogTimeline(lambda: (make_tail(path, SELDOM_S), Overtaken(path, candle(999, 1.0))), Views)
    async with following(timeline), asyncio.timeout(PATIENCE_S):
        await timeline.wait_beyond(len(events))
        assert timeline.head_seq == timeline.views.seq == len(events) + 1
        assert (await timeline.as_of(timeline.views.seq)).seq == len(events) + 1


@in_loop
async def test_a_log_created_later_is_followed_from_its_beginning(tmp_path: Path) -> None:
    timeline = of_file(tmp_path / "log.db")
    async with following(timeline):
        waiting = asyncio.ensure_future(timeline.wait_beyond(0))
        await asyncio.sleep(0.05)
        await write(tmp_path / "log.db", story(10))
        assert await waiting == len(story(10))
        await write(tmp_path / "log.db", story(5)[1:])
        assert await timeline.wait_beyond(len(story(10))) == timeline.head_seq


@in_loop
async def test_a_replaced_log_is_followed_from_its_beginning(tmp_path: Path) -> None:
    path, other = tmp_path / "log.db", tmp_path / "other.db"
    await write(path, story(20))
    await write(other, [configured("vwap_rsi"), candle(0, 7.0)])
    timeline = of_file(path)
    async with following(timeline):
        seq = await timeline.wait_beyond(0)
        await timeline.as_of(2)
        waiting = asyncio.ensure_future(timeline.wait_beyond(seq))
        await asyncio.sleep(0.02)
        other.replace(path)
        with pytest.raises(LogReplaced):
            await waiting
        assert await timeline.wait_beyond(0) == timeline.head_seq == 2
        assert timeline.views.strategies == (await timeline.as_of(2)).strategies == ("vwap_rsi",)


@in_loop
async def test_a_foreign_or_damaged_file_ends_the_following_with_its_error(tmp_path: Path) -> None:
    foreign = tmp_path / "notes.txt"
    foreign.write_text("no log " * 1_000)
    with pytest.raises(LogForeign):
        await of_file(foreign).run()
    here = TimelineLog()
    await here.append(*story(50), a_commit=10)
    row = here.log.rows[2]
    here.log.rows[2] = (*row[:4], bytes(32))
    with pytest.raises(LogDamaged):
        await here.timeline.run()
    assert here.timeline.views.seq < 30
    here.timeline.close()


@in_loop
async def test_closing_ends_the_following_and_wakes_waiters() -> None:
    async with followed_log(*story(10)) as (_, timeline):
        waiting = asyncio.ensure_future(timeline.wait_beyond(10_000))
        await asyncio.sleep(0)
        timeline.close()
        timeline.close()
        assert await waiting == timeline.views.seq
        assert timeline.closed


@in_loop
async def test_closing_in_the_middle_of_a_long_log_ends_it(tmp_path: Path) -> None:
    await write(tmp_path / "log.db", story(3_000))
    for pause_s in (0.0, 0.001, 0.005):
        timeline = of_file(tmp_path / "log.db")
        async with asyncio.timeout(PATIENCE_S), following(timeline):
            await asyncio.sleep(pause_s)
        assert timeline.closed
