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
from papertape.events.checkpoints.store import SEQ_MAX, Checkpoint, CheckpointStore
from papertape.events.errors import LogArchived, LogDamaged, LogReplaced, SnapshotRefused
from papertape.events.log import EventStretch
from papertape.projections.host import Announcer
from papertape.projections.persistence.fold_store import FoldCheckpoints
from papertape.projections.persistence.fork import fork
from papertape.projections.persistence.packing import Packed, pack
from papertape.projections.site.log_pages import EventReader, Pages
from papertape.projections.site.market_time import MarketTimeCutoff
from papertape.projections.site.ports import Progress
from papertape.projections.site.unfolded import NEWEST_EVENTS, find_setup, read_setup
from papertape.projections.site.view_cache import ViewCache

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from papertape.events.log import LogReader
    from papertape.projections.site.views import Views

T = TypeVar("T")

GAP_DISTANCES_MIN: Final = 3
"""Two checkpoints that are this many distances apart have lost one between them."""
PAGE_EVENTS_MAX: Final = 2_048
BATCH_EVENTS_MAX: Final = 1_024
"""At most this many events are folded before other tasks run: a few milliseconds."""
EMPTY_PAUSE_S: Final = 0.05
INDEXED_DISTANCES: Final = 8
"""Parts of as many distances are indexed one after the other, the newest first, if the index is missing."""


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


class _Due(Struct, frozen=True):
    """Views that are to be saved, as bytes, and the index of the events after `after_seq`, if it lacks them."""

    checkpoint: Checkpoint
    packed: Packed
    after_seq: int
    postings: Postings | None


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
        self._index_seq = 0
        """Later events are indexed as they are folded, earlier ones are indexed, or a separate task indexes them."""
        self._unfolded: Views | None = None
        self._unfolded_seq = 0
        self._looking = asyncio.Lock()
        self._to_save: asyncio.Queue[_Due] = asyncio.Queue(1)

    def close(self) -> None:
        """Close the log and wake all waiters."""
        self.tail.close()
        self.pages.close()
        self.moved.close()
        self.checkpoints.store.close()
        self.checkpoints.index.close()

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
        goal_seq = self._first_goal_seq or (self.tail.head_seq if self.tail.has_looked else 1)
        return Progress(self.views.seq, goal_seq) if self.views.seq < goal_seq else None

    async def _restore(self) -> None:
        store = self.checkpoints.store
        for kept in (store, self.checkpoints.index):
            with suppress(SnapshotRefused):
                await self.pages.run(partial(_drop_foreign, kept))
        views = await self._load(self.tail.head_seq)
        self._times_refused = store.times_refused
        if views is not None:
            self.views = views
            self.moved.publish(views.seq)
        indexed_seq = max((last for _, last in await asyncio.to_thread(self._indexed)), default=0)
        self._index_seq = max(indexed_seq, self.views.seq)
        await self._forget_unfolded()

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
        views, since, pages = self.views, _SinceCheckpoint(self.views.seq), self._pages_after(self.views.seq)
        while await self.tail.wait_beyond(views.seq) > views.seq and not self.tail.closed:
            self._check_trusted()
            page = await pages.next()
            if page is not None:
                await self._fold(views, page)
            if self.moved.closed:
                return
            self.moved.publish(views.seq)
            for helper in helpers:
                if helper.done():
                    helper.result()
            if page is not None:
                await self._offer(views, page, since)
            elif self.tail.head_seq > views.seq:  # The file has just been replaced: the tail is about to report it.
                await asyncio.sleep(EMPTY_PAUSE_S)

    def _pages_after(self, seq: int) -> Pages:
        return Pages(self.pages, seq, min(PAGE_EVENTS_MAX, self._distance_events))

    def _check_trusted(self) -> None:
        """Raise LogReplaced if the file of the checkpoints was set aside: views may need chunks that were in it."""
        if self.checkpoints.store.times_refused != self._times_refused:
            raise LogReplaced("the kept views cannot be trusted, so the log is folded again")

    async def _offer(self, views: Views, page: EventStretch, since: _SinceCheckpoint) -> None:
        """Index a folded page, and save the views if they are far enough from the last checkpoint."""
        if page.last_seq > self._index_seq:
            since.postings.add(page.after(self._index_seq))
        if views.seq - since.seq >= self._distance_events and page.hash:
            checkpoint = Checkpoint(views.seq, views.newest_close_ms, page.hash)
            postings = since.postings if views.seq > self._index_seq else None
            await self._to_save.put(_Due(checkpoint, pack(views), max(since.seq, self._index_seq), postings))
            since.seq, since.postings = views.seq, Postings()

    async def _save_checkpoints(self) -> None:
        while True:
            due = await self._to_save.get()
            await asyncio.to_thread(self.checkpoints.save, due.checkpoint, due.packed)
            if due.postings is not None:
                await self._index(due.checkpoint, due.after_seq, due.postings)
            self._to_save.task_done()

    async def _index(self, checkpoint: Checkpoint, after_seq: int, postings: Postings) -> None:
        with suppress(SnapshotRefused):
            await asyncio.to_thread(self.checkpoints.index.save, checkpoint, b"", {}, after_seq, postings)

    async def _fill_index(self, parts_max: int | None = None) -> None:
        """Index what the log already held at the start and the index lacks, the newest part first."""
        until_seq, parts = self._first_goal_seq, 0
        while until_seq > 0 and parts != parts_max:
            covered = await asyncio.to_thread(self._indexed)
            begun = next((after for after, last in covered if after < until_seq <= last), None)
            if begun is not None:
                until_seq = begun
                continue
            below = max((last for _, last in covered if last < until_seq), default=0)
            after_seq = max(below, until_seq - INDEXED_DISTANCES * self._distance_events)
            postings, pages, seq = Postings(), self._pages_after(after_seq), after_seq
            while seq < until_seq:
                page = None
                with suppress(LogArchived):
                    page = await pages.next()
                if page is None:
                    return
                postings.add(page.until(until_seq))
                seq = page.last_seq
                await asyncio.sleep(0)
            row_hash = await self.pages.run(partial(_hash_at, until_seq))
            await self._index(Checkpoint(until_seq, SEQ_MAX, row_hash), after_seq, postings)
            until_seq, parts = after_seq, parts + 1

    def _indexed(self) -> list[tuple[int, int]]:
        try:
            return self.checkpoints.index.indexed()
        except SnapshotRefused:
            return []

    async def _fill_gaps(self) -> None:
        """Fold again what lies between two checkpoints if one was lost there, using half of the time."""
        loop, until_seq, filled = asyncio.get_running_loop(), self.views.seq, (0, 0)
        await self._fill_index(parts_max=1)  # The newest part at once; most others are indexed as they are folded.
        await self._forget_unfolded()
        await self.moved.wait_beyond(self._first_goal_seq - 1)
        await self._to_save.join()
        await self._fill_index()
        while (gap := await asyncio.to_thread(self._gap, until_seq)) != filled:
            filled = gap
            views = await self._load(gap[0]) or self._make_views()
            since, pages = _SinceCheckpoint(views.seq), self._pages_after(views.seq)
            while views.seq < gap[1]:
                started_s, page = loop.time(), None
                with suppress(LogArchived):  # The gap is filled at a start with the disk of the archive.
                    page = await pages.next()
                if page is None:
                    return
                await self._fold(views, page)
                await self._offer(views, page, since)
                await asyncio.sleep(loop.time() - started_s)
            await self._to_save.join()
        for kept in (self.checkpoints.store, self.checkpoints.index):
            await asyncio.to_thread(kept.remove_others)
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
        pages = Pages(self.pages, views.seq, min(PAGE_EVENTS_MAX, max(seq - views.seq, 1)))
        while views.seq < seq:
            page = await pages.next()
            if page is None:
                raise LogDamaged(seq, "the event has disappeared")
            await self._fold(views, page.until(seq))
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

    async def unfolded(self) -> Views:
        """Return views of the log's end that know names, contracts and the newest closes, but no figure."""
        async with self._looking:
            views, head_seq = self._unfolded, self.tail.head_seq
            if views is None or head_seq - self._unfolded_seq > NEWEST_EVENTS:
                spans: list[tuple[int, int]] = []
                with suppress(SnapshotRefused):
                    spans = await asyncio.to_thread(find_setup, self.checkpoints.index)
                views, self._unfolded_seq = self._make_views(), 0
                views.take_names(await self.pages.run(partial(read_setup, spans)))
            after_seq = max(self._unfolded_seq, head_seq - NEWEST_EVENTS)
            if after_seq < head_seq:
                views.take_names(await self.pages.read(after_seq, head_seq - after_seq))
            self._unfolded, self._unfolded_seq = views, head_seq
        return views

    async def _forget_unfolded(self) -> None:
        """Look again at the next request: the index knows more, or other things, now."""
        async with self._looking:
            self._unfolded, self._unfolded_seq = None, 0

    async def candidates(self, query: PostingQuery) -> Candidates:
        """See `LogTimeline.candidates`. What is not indexed may match anywhere."""
        try:
            return await asyncio.to_thread(self._candidates, query)
        except SnapshotRefused:
            return all_candidates(query)

    def _candidates(self, query: PostingQuery) -> Candidates:
        begin, index = query.last_seq if query.backward else query.first_seq, self.checkpoints.index
        covered = index.indexed()
        for after, last in covered:
            if after < begin <= last:
                first_seq, last_seq = max(query.first_seq, after + 1), min(query.last_seq, last)
                return index.find(replace(query, first_seq=first_seq, last_seq=last_seq))
        if query.backward:
            below_seq = max((last for _, last in covered if last < begin), default=0)
            return all_candidates(replace(query, first_seq=max(query.first_seq, below_seq + 1)))
        above_seq = min((after for after, _ in covered if after >= begin), default=query.last_seq)
        return all_candidates(replace(query, last_seq=min(query.last_seq, above_seq)))

    async def _fold(self, views: Views, page: EventStretch) -> None:
        """Fold a page; let other tasks run between the batches."""
        self.folded_events += len(page)
        for first in range(0, len(page), BATCH_EVENTS_MAX):
            views.take(page.cut(first, first + BATCH_EVENTS_MAX))
            await asyncio.sleep(0)

    async def seq_at(self, at_ms: int) -> int:
        """See `LogTimeline.seq_at`."""
        seq, close_ms = await asyncio.to_thread(self._newest_at, at_ms)
        cutoff = MarketTimeCutoff(at_ms, has_candle=close_ms > 0)
        pages = Pages(self.pages, seq, PAGE_EVENTS_MAX)
        while (page := await pages.next()) is not None:
            self._read_seq = max(self._read_seq, page.last_seq)
            for recorded in page.recorded():
                if not cutoff.includes(recorded):
                    cutoff.check_begun()
                    return recorded.seq - 1
            seq = page.last_seq
        cutoff.check_begun()
        return seq

    def _newest_at(self, at_ms: int) -> tuple[int, int]:
        try:
            return max(store.newest_at(at_ms) for store in (self.checkpoints.store, self.checkpoints.index))
        except SnapshotRefused:
            return 0, 0


def _drop_foreign(store: CheckpointStore, reader: LogReader) -> None:
    store.drop_foreign(reader.hash_at)


def _hash_at(seq: int, reader: LogReader) -> bytes:
    return reader.hash_at(seq) or b""
