"""A restarted timeline has its head and every earlier event at once, and nothing depends on the kept views."""

from __future__ import annotations

import asyncio
import itertools
import random
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar

import pytest

from papertape.api.views.history import run_search
from papertape.events.bus import Bus
from papertape.events.errors import LogArchived, LogDamaged
from papertape.events.facts import RunnerConfigured
from papertape.events.log import Entry, EventStretch
from papertape.events.log_thread import LogThread
from papertape.events.segments.archiving import archive
from papertape.events.sqlite_log import SqliteEventLog, SqliteLogReader
from papertape.events.tail import make_tail
from papertape.events.units import DAY_MS, MINUTE_MS
from papertape.projections.persistence.append_only import CHUNK_LENGTH
from papertape.projections.persistence.fold_store import INDEX, FoldCheckpoints
from papertape.projections.persistence.packing import CHUNKS_CACHED_MAX
from papertape.projections.site.event_query import EventFilter, Search
from papertape.projections.site.followed_log import INDEXED_DISTANCES
from papertape.projections.site.timeline import LogTimeline
from papertape.projections.site.views import Views
from tests.build import DAY_0_MS, candle, tripped
from tests.events.loop import RECORDED_AT_MS, clock_ms, in_loop
from tests.events.segments.logs import append_rows, small_blocks, write_sealed
from tests.patience import PATIENCE_S
from tests.projections.portrait import portrait
from tests.projections.timeline_log import DISTANCE_EVENTS, TimelineLog, everything, followed_log, following, story

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from papertape.events.log import LogReader, Recorded

T = TypeVar("T")

pytestmark = pytest.mark.system

LENGTH = 18 * DISTANCE_EVENTS


class ViewsFolder:
    """A folder of kept views."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.warnings = folder, list[str]()

    def open(self, made_with: object = None) -> FoldCheckpoints:
        """Return the checkpoints as after a start."""
        return FoldCheckpoints(self.folder, Views(), self.warnings.append, made_with)

    @property
    def file(self) -> Path:
        (file,) = self.folder.glob("*.checkpoints")
        return file

    def execute(self, statement: str, *values: object) -> None:
        """Change the file behind the back of its owner."""
        with closing(sqlite3.connect(self.file)) as connection, connection:
            connection.execute(statement, values)


async def until_near(timeline: LogTimeline) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not timeline.statistics().near_everywhere:  # noqa: ASYNC110 - it tells nobody.
            await asyncio.sleep(0.01)


async def kept_story(folder: Path, count: int = LENGTH) -> tuple[TimelineLog, ViewsFolder]:
    """Follow a story with checkpoints on disk, and stop; the bus is new."""
    here, there = TimelineLog(), ViewsFolder(folder)
    await here.append(*story(count))
    async with following(here.with_store(there.open())) as task:
        timeline = here.followed
        await timeline.wait_beyond(len(here.events) - 1)
        await until_near(timeline)
        assert not task.done()
    here.bus = Bus(here.log.head.seq)
    return here, there


@in_loop
async def test_the_restored_head_and_every_earlier_event_are_available_at_once(
    tmp_path: Path,
) -> None:
    here, there = await kept_story(tmp_path)
    until, timeline, chance = len(here.events), here.with_store(there.open()), random.Random(1)
    async with following(timeline):
        await timeline.wait_beyond(until - 1)
        assert timeline.statistics().folded_events <= DISTANCE_EVENTS
        for place in (until, 5, DISTANCE_EVENTS, *(chance.randint(1, until) for _ in range(5))):
            before = timeline.statistics().folded_events
            assert portrait(await timeline.as_of(place)) == portrait(here.folded(place)), place
            assert timeline.statistics().folded_events - before < DISTANCE_EVENTS + 50, "a commit has 50 events"
        await here.append(candle(99_999, 3.0))
        assert await timeline.wait_beyond(until) == until + 1
        assert portrait(timeline.views) == portrait(here.folded(until + 1))
        at_ms = DAY_0_MS + 1_000 * MINUTE_MS
        assert here.events[await timeline.seq_at(at_ms)] == candle(1_000, 100.0 + 1_000 % 7)
        await until_near(timeline)
    assert not there.warnings


@pytest.mark.parametrize("length", [LENGTH, 2 * LENGTH])
@in_loop
async def test_a_start_folds_as_much_whatever_the_age_of_the_log(tmp_path: Path, length: int) -> None:
    here, there = await kept_story(tmp_path, length)
    timeline = here.with_store(there.open())
    async with following(timeline):
        await timeline.wait_beyond(len(here.events) - 1)
        await until_near(timeline)
        assert timeline.statistics().folded_events <= DISTANCE_EVENTS + 50


@in_loop
async def test_trades_that_are_stored_leave_the_memory(tmp_path: Path) -> None:
    """This holds while the log is folded for the first time, and after a start from what was stored."""
    here, there = TimelineLog(), ViewsFolder(tmp_path)
    await here.append(*story(LENGTH))
    for _ in range(2):
        async with following(timeline := here.with_store(there.open())):
            await timeline.wait_beyond(len(here.events) - 1)
            await timeline._log._to_save.join()
            trades = timeline.views.trades
            in_memory = [chunk for chunk in trades._all._chunks if chunk._items is not None]
            assert len(trades.closed()) > 3 * CHUNK_LENGTH
            assert len(in_memory) <= 1, "only what was closed since the last checkpoint"
            assert len(timeline._log.checkpoints._load._cached) <= CHUNKS_CACHED_MAX
            assert trades.closed() == here.folded(len(here.events)).trades.closed()


@in_loop
async def test_views_of_another_log_are_not_restored(tmp_path: Path) -> None:
    _, there = await kept_story(tmp_path)
    here = TimelineLog()
    await here.append(*everything())
    timeline = here.with_store(there.open())
    async with following(timeline):
        while timeline.views.seq < len(here.events):
            await timeline.wait_beyond(timeline.views.seq)
        assert portrait(timeline.views) == portrait(here.folded(len(here.events)))
    assert "another event" in there.warnings[0]


@in_loop
async def test_a_log_that_was_cut_and_continued_keeps_the_checkpoints_of_what_remains(tmp_path: Path) -> None:
    here, there = await kept_story(tmp_path)
    cut = 2 * DISTANCE_EVENTS + 50
    other = TimelineLog()
    await other.append(*here.events[:cut], *[candle(50_000 + minute, 7.0) for minute in range(DISTANCE_EVENTS)])
    timeline = other.with_store(there.open())
    async with following(timeline):
        await timeline.wait_beyond(len(other.events) - 1)
        for place in (cut - 1, cut + 1, len(other.events)):
            assert portrait(await timeline.as_of(place)) == portrait(other.folded(place)), place
    assert "another event" in there.warnings[0]
    with closing(sqlite3.connect(there.file)) as connection:
        assert min(seq for (seq,) in connection.execute("SELECT seq FROM checkpoints")) < cut


SPOILERS = {
    "states": "UPDATE checkpoints SET packed = zeroblob(length(packed))",
    "one state": "UPDATE checkpoints SET packed = zeroblob(9) WHERE seq = (SELECT seq FROM checkpoints LIMIT 1)",
    "digests": "UPDATE checkpoints SET digest = zeroblob(16)",
    "lost ones": "DELETE FROM checkpoints WHERE base_seq = (SELECT min(base_seq) FROM checkpoints)",
}


@pytest.mark.parametrize("spoiled", SPOILERS)
@in_loop
async def test_damaged_views_are_folded_again(tmp_path: Path, spoiled: str) -> None:
    here, there = await kept_story(tmp_path)
    there.execute(SPOILERS[spoiled])
    timeline = here.with_store(there.open())
    async with following(timeline):
        await timeline.wait_beyond(len(here.events) - 1)
        for place in (DISTANCE_EVENTS + 70, len(here.events)):
            assert portrait(await timeline.as_of(place)) == portrait(here.folded(place)), place
    async with following(timeline := here.with_store(there.open())):
        await timeline.wait_beyond(len(here.events) - 1)
        await until_near(timeline)
        assert timeline.statistics().checkpoints >= len(here.events) // (DISTANCE_EVENTS + 50) - 2
    assert spoiled == "lost ones" or any("digest" in warning for warning in there.warnings)


@in_loop
async def test_a_damaged_chunk_is_noticed_when_it_is_read_and_the_log_is_folded_again(tmp_path: Path) -> None:
    here, there = await kept_story(tmp_path)
    there.execute("UPDATE chunks SET packed = zeroblob(length(packed))")
    timeline = here.with_store(there.open())
    async with following(timeline), asyncio.timeout(PATIENCE_S):
        await timeline.wait_beyond(len(here.events) - 1)
        seq = timeline.views.seq
        with pytest.raises(Exception, match="does not match"):
            timeline.views.trades.closed()
        await here.append(candle(99_999, 3.0))
        while timeline.views.seq <= seq or not there.warnings:  # noqa: ASYNC110 - it tells nobody.
            await asyncio.sleep(0.01)
        assert portrait(timeline.views) == portrait(here.folded(len(here.events)))


@in_loop
async def test_a_file_of_another_program_is_set_aside(tmp_path: Path) -> None:
    here, there = await kept_story(tmp_path)
    there.file.write_text("no database " * 1_000)
    async with following(timeline := here.with_store(there.open())):
        await timeline.wait_beyond(len(here.events) - 1)
        assert portrait(timeline.views) == portrait(here.folded(len(here.events)))
    assert "set aside" in there.warnings[0]
    assert there.file.with_name(there.file.name + ".refused").exists()


@in_loop
async def test_views_made_with_other_settings_are_removed_once_the_new_ones_exist(tmp_path: Path) -> None:
    here, there = await kept_story(tmp_path)
    old = there.file
    async with following(timeline := here.with_store(there.open("other settings"))):
        assert timeline.folding is None or old.exists(), "the old ones stay until the new ones are complete"
        await timeline.wait_beyond(len(here.events) - 1)
        await until_near(timeline)
    assert there.file != old
    assert not there.warnings


@in_loop
async def test_damage_before_the_restored_seq_is_still_reported(tmp_path: Path) -> None:
    here, there = await kept_story(tmp_path)
    del here.log.rows[0]
    timeline = here.with_store(there.open())
    running = asyncio.ensure_future(timeline.run())
    await timeline.wait_beyond(len(here.events) - 1)
    with pytest.raises(LogDamaged):
        await timeline.as_of(3)
    head = await here.log.append(here.log.head.seq, [Entry(candle(99_999, 3.0))])
    here.bus.publish(head.seq)
    timeline.close()
    await running


@in_loop
async def test_where_nothing_can_be_written_the_page_still_shows_everything(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    folder = ViewsFolder(tmp_path / "file" / "views")
    here = TimelineLog()
    await here.append(*story(3 * DISTANCE_EVENTS))
    here.with_store(folder.open())
    async with following(here.followed) as task:
        await here.followed.wait_beyond(here.log.head.seq - 1)
        assert portrait(await here.followed.as_of(300)) == portrait(here.folded(300))
        assert not task.done()
    assert len(folder.warnings) == 1


@in_loop
async def test_a_lost_checkpoint_of_archived_events_leaves_the_page_running(tmp_path: Path) -> None:
    path, there = tmp_path / "log.db", ViewsFolder(tmp_path / "views")
    with small_blocks():
        head = await write_sealed(path, rows=150, seals=(200,))

    def timeline() -> LogTimeline:
        return LogTimeline(lambda: (make_tail(path), LogThread(lambda: SqliteLogReader(path))), Views, there.open(), 8)

    async with following(first := timeline()):
        await until_near(first)
    archive(path, RECORDED_AT_MS + DAY_MS, tmp_path / "disk")
    (tmp_path / "disk").rename(tmp_path / "unplugged")
    there.execute(SPOILERS["lost ones"])
    async with following(second := timeline()) as task:
        assert await second.wait_beyond(head.seq - 1) == head.seq
        await asyncio.sleep(0.2)  # The gap is found by then.
        log = await SqliteEventLog.open(path, clock_ms=clock_ms)
        await append_rows(log, 1)
        await log.close()
        assert await second.wait_beyond(head.seq) == head.seq + 2
        await asyncio.sleep(0.1)
        assert (task.done(), second.statistics().near_everywhere) == (False, False)
        with pytest.raises(LogArchived):
            await second.as_of(30)
    (tmp_path / "unplugged").rename(tmp_path / "disk")
    async with following(third := timeline()):
        await until_near(third)
        assert (await third.as_of(30)).seq == 30


@in_loop
async def test_without_a_place_on_disk_the_past_is_kept_in_memory() -> None:
    async with followed_log(*story(LENGTH)) as (here, timeline):
        await timeline.wait_beyond(len(here.events) - 1)
        assert timeline.statistics().checkpoints >= 3
        assert portrait(await timeline.as_of(3_000)) == portrait(here.folded(3_000))


@in_loop
async def test_a_search_reads_only_where_matches_are(tmp_path: Path) -> None:
    """Every filter finds what a look at every event finds, and a rare event is found without reading the log."""
    here, there = TimelineLog(), ViewsFolder(tmp_path)
    events = story(LENGTH)
    events[700] = tripped("momentum")
    await here.append(*events)
    choices = [
        EventFilter(),
        EventFilter(types=frozenset(["KillSwitchTripped"])),
        EventFilter(types=frozenset(["CandleClosed", "PositionOpened"]), symbol="BTCUSDT"),
        EventFilter(strategy="momentum", symbol="BTCUSDT"),
        EventFilter(types=frozenset(["CandleClosed"]), symbol="ETHUSDT"),
        EventFilter(everything=True),
    ]
    async with following(timeline := here.with_store(there.open())):
        await until_near(timeline)
        read = CountedReads(timeline)
        for choice, backward, first, last in itertools.product(
            choices, (True, False), (1, 695, 2_000), (900, len(events))
        ):
            whole = [one.seq for one in here.recorded() if first <= one.seq <= last and choice.matches(one)]
            wanted = (whole[::-1] if backward else whole)[:30]
            read.read = 0
            found = await run_search(Search(choice, {}, first, last, 30, backward=backward), read)  # type: ignore[arg-type]
            assert [one.seq for one in found.events] == wanted
            if choice == choices[1]:
                assert read.read <= DISTANCE_EVENTS + 51, "only what follows the last checkpoint, and the match"
            assert found.complete or len(wanted) == 30


@in_loop
async def test_after_an_upgrade_the_index_answers_before_the_views_are_folded(tmp_path: Path) -> None:
    here, there = await kept_story(tmp_path)
    search = Search(EventFilter(types=frozenset(["RunnerConfigured"])), {}, 1, len(here.events), 5)
    wanted = [one.seq for one in here.recorded() if type(one.event) is RunnerConfigured]
    async with following(timeline := here.with_store(there.open("other code"))):
        await timeline.wait_beyond(0)
        read = CountedReads(timeline)
        found = await run_search(search, read)  # type: ignore[arg-type]
        assert timeline.folding is not None
        assert [one.seq for one in found.events] == wanted[:-6:-1]
        assert read.read <= DISTANCE_EVENTS + 51


@in_loop
async def test_a_missing_index_is_built_again_newest_part_first(tmp_path: Path) -> None:
    here, there = await kept_story(tmp_path)
    shutil.rmtree(tmp_path / INDEX)
    kept = there.open()
    async with following(timeline := here.with_store(kept)):
        async with asyncio.timeout(PATIENCE_S):
            while not (covered := kept.index.indexed()):  # noqa: ASYNC110 - it tells nobody.
                await asyncio.sleep(0)
        assert covered[-1][1] == len(here.events)
        assert covered[0][0] > 0
        await until_near(timeline)
        assert kept.index.indexed() == [(0, len(here.events))]


class CountedPages(LogThread):
    """A reader that counts the pages that were read, each as often as it was."""

    def __init__(self, log: TimelineLog) -> None:
        super().__init__(log.log.reader)
        self.pages: list[EventStretch] = []

    async def run(self, use: Callable[[LogReader], T], /) -> T:
        done = await super().run(use)
        if isinstance(done, EventStretch):
            self.pages.append(done)
        return done


@in_loop
async def test_a_log_is_read_once_to_be_folded_and_indexed(tmp_path: Path) -> None:
    here, kept = TimelineLog(), ViewsFolder(tmp_path).open()
    await here.append(*story(4 * LENGTH))
    pages = CountedPages(here)
    timeline = LogTimeline(lambda: (here.bus, pages), Views, kept, DISTANCE_EVENTS)
    async with following(timeline):
        await until_near(timeline)
        assert kept.index.indexed() == [(0, len(here.events))]
        times_read = Counter(seq for page in pages.pages for seq in range(page.first_seq, page.last_seq + 1))
        newest_seq = len(here.events) - (INDEXED_DISTANCES + 1) * DISTANCE_EVENTS
        assert {times_read[seq] for seq in range(1, newest_seq)} == {1}


class CountedReads:
    """A timeline that counts the events that are read."""

    def __init__(self, timeline: LogTimeline) -> None:
        self._timeline, self.candidates, self.read = timeline, timeline.candidates, 0

    async def events(self, after_seq: int, limit: int) -> Sequence[Recorded]:
        self.read += limit
        return await self._timeline.events(after_seq, limit)
