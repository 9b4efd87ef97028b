"""One log, followed: its views at the head, and as of any event.

The head is folded as the log grows, in small batches, so that other tasks can run. Every few thousand events the views
are saved as a checkpoint on disk. Past views, and the head at a start, are folded from the nearest one.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from papertape.events.bus import Bus
from papertape.events.checkpoints.postings import Candidates, PostingQuery, Postings, all_candidates
from papertape.events.checkpoints.store import Checkpoint
from papertape.events.errors import LogArchived, LogDamaged, LogReplaced, SnapshotRefused
from papertape.events.log import Recorded
from papertape.projections.host import Announcer, Cursor, fold
from papertape.projections.persistence.fold_store import FoldCheckpoints
from papertape.projections.persistence.fork import fork
from papertape.projections.persistence.packing import pack
from papertape.projections.site.event_query import add_postings
from papertape.projections.site.market_time import MarketTimeCutoff
from papertape.projections.site.ports import Progress
from papertape.projections.site.view_cache import ViewCache

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from papertape.events.log import LogReader
    from papertape.projections.site.views import Views

T = TypeVar("T")

GAP_DISTANCES_MIN: Final = 3
"""Two checkpoints that are this many distances apart have lost one between them."""
PAGE_EVENTS_MAX: Final = 2_048
BATCH_EVENTS_MAX: Final = 128
"""At most this many events are folded before other tasks run: a few milliseconds."""
EMPTY_PAUSE_S: Final = 0.05


class LogTail(Announcer, Protocol):
    """Reports how far a log is committed: `events.tail.Tail`, or `events.bus.Bus` inside the writing process."""

    @property
    def head_seq(self) -> int:
        """The newest known seq."""

    @property
    def has_looked(self) -> bool:
        """Whether it is known yet whether the log has events."""

    def close(self) -> None:
        """Wake all waiters for the last time."""


class EventReader(Protocol):
    """Reads events: `events.log_thread.LogThread`."""

    async def run(self, use: Callable[[LogReader], T], /) -> T:
        """Call `use` with a reader in a thread and return its result."""

    async def read(self, after_seq: int, limit: int = ..., /) -> list[Recorded]:
        """Return at most `limit` events after `after_seq`."""

    def close(self) -> None:
        """Close the log."""


class _Due(Struct, frozen=True):
    """A fork of the views that is to be saved, and the index of the events since the checkpoint before."""

    checkpoint: Checkpoint
    views: Views
    after_seq: int
    postings: Postings


class _SinceCheckpoint:
    """What was folded since the last checkpoint of a sequence of them."""

    def __init__(self, seq: int) -> None:
        self.seq, self.postings = seq, Postings()


class FollowedLog:
    """Everything known about one log; another log at its place starts a new instance."""

    def __init__(
        self,
        tail: LogTail,
        pages: EventReader,
        make_views: Callable[[], Views],
        checkpoints: FoldCheckpoints,
        distance_events: int,
    ) -> None:
        self.tail, self.pages, self._distance_events = tail, pages, distance_events
        self._make_views, self.checkpoints = make_views, checkpoints
        self.views = make_views()
        self.moved = Bus()
        self.results = ViewCache()
        self.near_everywhere = False
        self.folded_events = 0
        self._times_refused = checkpoints.store.times_refused
        self._read_seq = 0
        self._first_goal_seq = 0
        self._to_save: asyncio.Queue[_Due] = asyncio.Queue(1)

    def close(self) -> None:
        """Close the log and wake all waiters."""
        self.tail.close()
        self.pages.close()
        self.moved.close()
        self.checkpoints.store.close()

    async def follow(self) -> None:
        """Start from the newest checkpoint, if any, and fold the head until the tail is closed."""
        self._first_goal_seq = await self.tail.wait_beyond(0)
        if self._first_goal_seq == 0 or self.tail.closed:
            return
        await self._restore()
        helpers = [asyncio.ensure_future(work) for work in (self._fill_gaps(), self._save_checkpoints())]
        try:
            await self._follow_head(helpers)
        finally:
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)

    @property
    def head_seq(self) -> int:
        """The newest known event; a page may hold events that were written since the tail's last look."""
        return max(self.tail.head_seq, self.views.seq, self._read_seq)

    @property
    def folding(self) -> Progress | None:
        """The progress of the first fold; None once the views have reached the end that the log had at the start."""
        goal_seq = self._first_goal_seq if self.tail.has_looked else 1
        return Progress(self.views.seq, goal_seq) if self.views.seq < goal_seq else None

    async def _restore(self) -> None:
        store = self.checkpoints.store
        with suppress(SnapshotRefused):
            await self.pages.run(lambda reader: store.drop_foreign(reader.hash_at))
        views = await self._load(self.tail.head_seq)
        self._times_refused = store.times_refused
        if views is not None:
            self.views = views
            self.moved.publish(views.seq)

    async def _load(self, seq: int, after_seq: int = 0) -> Views | None:
        """Return the views at the last usable checkpoint at or before an event and beyond another one, if any."""
        return await asyncio.to_thread(self._load_now, seq, after_seq)

    def _load_now(self, seq: int, after_seq: int) -> Views | None:
        while True:
            found = None
            try:
                found = self.checkpoints.store.newest(seq)
                if found is None or found.seq <= after_seq:
                    return None
                views: Views = self.checkpoints.load(found.seq)
            except SnapshotRefused:
                if found is None:  # The file itself cannot be read.
                    return None
                seq = found.seq - 1
            else:
                assert views.seq == found.seq, "views are at the seq of their checkpoint"
                return views

    async def _follow_head(self, helpers: Sequence[asyncio.Future[None]]) -> None:
        views, cursor, since = self.views, Cursor(self.views.seq), _SinceCheckpoint(self.views.seq)
        while await self.tail.wait_beyond(cursor.seq) > cursor.seq and not self.tail.closed:
            self._check_trusted()
            page, row_hash = await self._page(cursor.seq, since.seq)
            cursor.advance(page)
            await self._fold(views, page)
            if self.moved.closed:
                return
            self.moved.publish(views.seq)
            for helper in helpers:
                if helper.done():
                    helper.result()
            await self._offer(views, page, row_hash, since)
            if not page:  # The file has just been replaced: the tail is about to report it.
                await asyncio.sleep(EMPTY_PAUSE_S)

    def _check_trusted(self) -> None:
        """Raise LogReplaced if the file of the checkpoints was set aside: views may need chunks that were in it."""
        if self.checkpoints.store.times_refused != self._times_refused:
            raise LogReplaced("the kept views cannot be trusted, so the log is folded again")

    async def _page(self, after_seq: int, saved_seq: int) -> tuple[list[Recorded], bytes]:
        """Read the commits up to the next checkpoint, at most one page, and the hash of the last one."""
        events = min(PAGE_EVENTS_MAX, saved_seq + self._distance_events - after_seq)
        return await self.pages.run(partial(_read_commits, after_seq, events))

    async def _offer(self, views: Views, page: Sequence[Recorded], row_hash: bytes, since: _SinceCheckpoint) -> None:
        """Index a folded page, and save a fork of the views if they are far enough from the last checkpoint."""
        add_postings(since.postings, page)
        if views.seq - since.seq >= self._distance_events:
            checkpoint = Checkpoint(views.seq, newest_close_ms(views), row_hash)
            await self._to_save.put(_Due(checkpoint, fork(views), since.seq, since.postings))
            since.seq, since.postings = views.seq, Postings()

    async def _save_checkpoints(self) -> None:
        while True:
            due = await self._to_save.get()
            packed = await asyncio.to_thread(pack, due.views)
            await asyncio.to_thread(self.checkpoints.save, due.checkpoint, packed, due.after_seq, due.postings)
            self._to_save.task_done()

    async def _fill_gaps(self) -> None:
        """Fold again what lies between two checkpoints if one was lost there, using half of the time."""
        loop, until_seq, filled = asyncio.get_running_loop(), self.views.seq, (0, 0)
        await self.moved.wait_beyond(self._first_goal_seq - 1)
        while (gap := await asyncio.to_thread(self._gap, until_seq)) != filled:
            filled = gap
            views = await self._load(gap[0]) or self._make_views()
            since = _SinceCheckpoint(views.seq)
            while views.seq < gap[1]:
                started_s, page, row_hash = loop.time(), list[Recorded](), b""
                with suppress(LogArchived):  # The gap is filled at a start with the disk of the archive.
                    page, row_hash = await self._page(views.seq, since.seq)
                if not page:
                    return
                await self._fold(views, page)
                await self._offer(views, page, row_hash, since)
                await asyncio.sleep(loop.time() - started_s)
            await self._to_save.join()
        await asyncio.to_thread(self.checkpoints.store.remove_others)
        self.near_everywhere = True

    def _gap(self, until_seq: int) -> tuple[int, int]:
        """Return the first two neighbours that are too far apart; zeros if there are none."""
        try:
            seqs = [0, *(seq for seq in self.checkpoints.store.seqs() if seq < until_seq), until_seq]
        except SnapshotRefused:
            return 0, 0
        far = GAP_DISTANCES_MIN * self._distance_events
        return next(((one, other) for one, other in pairwise(seqs) if other - one >= far), (0, 0))

    async def as_of(self, seq: int) -> Views:
        """Return the views after an event that the log holds."""
        await self.moved.wait_beyond(seq - 1)
        cached = self.results.get(seq)  # Another task may have requested the same event in the meantime.
        if cached is not None:
            return cached
        views = await self._forked_before(seq)
        while views.seq < seq:
            page = await self.pages.read(views.seq, min(PAGE_EVENTS_MAX, seq - views.seq))
            if not page:
                raise LogDamaged(seq, "the event has disappeared")
            await self._fold(views, page)
        assert views.seq == seq, "the last page ends at the requested event"
        self.results.put(views)
        return views

    async def _forked_before(self, seq: int) -> Views:
        """Fork the nearest views at or before an event; without any, make new ones."""
        candidates = (self.views, self.results.nearest_before(seq))
        usable = [views for views in candidates if views is not None and 0 < views.seq <= seq]
        nearest = max(usable, key=lambda views: views.seq, default=None)
        forked = None if nearest is None else fork(nearest)
        loaded = await self._load(seq, 0 if forked is None else forked.seq)
        return loaded or forked or self._make_views()

    async def candidates(self, query: PostingQuery) -> Candidates:
        """See `LogTimeline.candidates`. What is not indexed is one stretch."""
        try:
            return await asyncio.to_thread(self._candidates, query)
        except SnapshotRefused:
            return all_candidates(query)

    def _candidates(self, query: PostingQuery) -> Candidates:
        if self.checkpoints.store.newest(query.last_seq) is None:
            return all_candidates(query)
        indexed_seq = min(self.checkpoints.store.indexed_until(), query.last_seq)
        if query.first_seq > indexed_seq:
            return all_candidates(query)
        if query.backward and query.last_seq > indexed_seq:
            return all_candidates(replace(query, first_seq=indexed_seq + 1))
        return self.checkpoints.store.find(replace(query, last_seq=indexed_seq))

    async def _fold(self, views: Views, page: Sequence[Recorded]) -> None:
        """Fold a page; let other tasks run between the batches."""
        self.folded_events += len(page)
        for first in range(0, len(page), BATCH_EVENTS_MAX):
            fold([views], page[first : first + BATCH_EVENTS_MAX])
            await asyncio.sleep(0)

    async def seq_at(self, at_ms: int) -> int:
        """See `LogTimeline.seq_at`."""
        seq, close_ms = await asyncio.to_thread(self._newest_at, at_ms)
        cutoff = MarketTimeCutoff(at_ms, has_candle=close_ms > 0)
        while page := await self.pages.read(seq, PAGE_EVENTS_MAX):
            self._read_seq = max(self._read_seq, page[-1].seq)
            for recorded in page:
                if not cutoff.includes(recorded):
                    cutoff.check_begun()
                    return recorded.seq - 1
            seq = page[-1].seq
        cutoff.check_begun()
        return seq

    def _newest_at(self, at_ms: int) -> tuple[int, int]:
        try:
            return self.checkpoints.store.newest_at(at_ms)
        except SnapshotRefused:
            return 0, 0


def _read_commits(after_seq: int, events_min: int, reader: LogReader) -> tuple[list[Recorded], bytes]:
    """Read whole commits until there are enough events; return them and the hash of the last commit."""
    events: list[Recorded] = []
    for commit in reader.commits(after_seq):
        events.extend(commit.recorded())
        if len(events) >= events_min:
            break
    while events and events[0].seq <= after_seq:
        del events[0]
    return events, (reader.hash_at(events[-1].seq) or b"") if events else b""


def newest_close_ms(views: Views) -> int:
    """Return the newest close of a candle other than a warm-up candle; 0 without one."""
    return max((seen.at_ms for seen in views.seen.values()), default=0)
