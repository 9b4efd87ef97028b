"""The views of one log over time: at its head, and as of any event.

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

from papertape.events.bus import Bus
from papertape.events.checkpoints.store import Checkpoint
from papertape.events.errors import LogBusy, LogDamaged, LogReplaced, SnapshotRefused, UsageError
from papertape.events.log import READ_EVENTS_MAX
from papertape.projections.host import Announcer, Cursor, fold
from papertape.projections.persistence.fold_store import FoldCheckpoints
from papertape.projections.persistence.fork import fork
from papertape.projections.persistence.packing import pack
from papertape.projections.site.market_time import MarketTimeCutoff
from papertape.projections.site.ports import Progress
from papertape.projections.site.view_cache import ViewCache

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from papertape.events.log import LogReader, Recorded
    from papertape.projections.site.views import Views

T = TypeVar("T")

DISTANCE_EVENTS: Final = 4_096
"""Between two checkpoints: folding this many events takes well below 0.2 s."""
GAP_DISTANCES_MIN: Final = 3
"""Two checkpoints that are this many distances apart have lost one between them."""
PAGE_EVENTS_MAX: Final = 2_048
BATCH_EVENTS_MAX: Final = 128
"""At most this many events are folded before other tasks run: a few milliseconds."""
SEEKS_AT_ONCE_MAX: Final = 2
SEEKS_WAITING_MAX: Final = 64
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


class TimelineStatistics(Struct, frozen=True):
    """The progress of a timeline. `near_everywhere`: every event is near a checkpoint."""

    seq: int
    head_seq: int
    near_everywhere: bool
    checkpoints: int
    results: int
    seeking: int


class _FollowedLog:
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
        self._times_refused = checkpoints.store.times_refused
        self._read_seq = 0
        self._first_goal_seq = 0
        self._to_save: asyncio.Queue[tuple[Checkpoint, Views]] = asyncio.Queue(1)

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
            try:
                found = self.checkpoints.store.newest(seq)
                if found is None or found.seq <= after_seq:
                    return None
                views: Views = self.checkpoints.load(found.seq)
            except SnapshotRefused:
                seq = found.seq - 1 if found is not None else 0
            else:
                assert views.seq == found.seq, "views are at the seq of their checkpoint"
                return views

    async def _follow_head(self, helpers: Sequence[asyncio.Future[None]]) -> None:
        views, cursor, saved_seq = self.views, Cursor(self.views.seq), self.views.seq
        while await self.tail.wait_beyond(cursor.seq) > cursor.seq and not self.tail.closed:
            self._check_trusted()
            page, row_hash = await self._page(cursor.seq, saved_seq)
            cursor.advance(page)
            await _fold_in_batches(views, page)
            if self.moved.closed:
                return
            self.moved.publish(views.seq)
            for helper in helpers:
                if helper.done():
                    helper.result()
            saved_seq = await self._offer(views, row_hash, saved_seq)
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

    async def _offer(self, views: Views, row_hash: bytes, saved_seq: int) -> int:
        """Save a fork of the views if they are far enough from the last checkpoint, whose seq is returned."""
        if views.seq - saved_seq < self._distance_events:
            return saved_seq
        await self._to_save.put((Checkpoint(views.seq, newest_close_ms(views), row_hash), fork(views)))
        return views.seq

    async def _save_checkpoints(self) -> None:
        while True:
            checkpoint, views = await self._to_save.get()
            packed = await asyncio.to_thread(pack, views)
            await asyncio.to_thread(self.checkpoints.save, checkpoint, packed)
            self._to_save.task_done()

    async def _fill_gaps(self) -> None:
        """Fold again what lies between two checkpoints if one was lost there, using half of the time."""
        loop, until_seq, filled = asyncio.get_running_loop(), self.views.seq, (0, 0)
        await self.moved.wait_beyond(self._first_goal_seq - 1)
        while (gap := await asyncio.to_thread(self._gap, until_seq)) != filled:
            filled = gap
            views = await self._load(gap[0]) or self._make_views()
            saved_seq = views.seq
            while views.seq < gap[1]:
                started_s = loop.time()
                page, row_hash = await self._page(views.seq, saved_seq)
                if not page:
                    return
                await _fold_in_batches(views, page)
                saved_seq = await self._offer(views, row_hash, saved_seq)
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
            await _fold_in_batches(views, page)
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


class LogTimeline:
    """The `projections.site.ports.Timeline` of a growing log. Run `run` beside it; `close` it at the end."""

    def __init__(
        self,
        open_log: Callable[[], tuple[LogTail, EventReader]],
        make_views: Callable[[], Views],
        checkpoints: FoldCheckpoints | None = None,
        distance_events: int = DISTANCE_EVENTS,
    ) -> None:
        """Open the log with `open_log`, which is called again if another log replaces it.

        `checkpoints` keeps the views of the past between two runs; without it they are kept in memory.
        """
        self._open_log, self._make_views, self._distance_events = open_log, make_views, distance_events
        self._checkpoints = checkpoints or FoldCheckpoints(None, make_views(), lambda _: None)
        self._seeks = asyncio.Semaphore(SEEKS_AT_ONCE_MAX)
        self._seeking = 0
        self._closed = False
        self._log = self._open()

    @property
    def head_seq(self) -> int:
        """The newest event of the log, as far as is known here."""
        return self._log.head_seq

    @property
    def folding(self) -> Progress | None:
        """The progress of the first fold of the log; None once the views show all of it."""
        return self._log.folding

    @property
    def views(self) -> Views:
        """The views at `views.seq`, which catches up with the head. They change whenever other tasks run."""
        return self._log.views

    @property
    def closed(self) -> bool:
        """Whether nobody follows the log any more."""
        return self._closed

    def statistics(self) -> TimelineStatistics:
        """Return the progress and the sizes of the caches."""
        log = self._log
        return TimelineStatistics(
            seq=log.views.seq,
            head_seq=log.tail.head_seq,
            near_everywhere=log.near_everywhere,
            checkpoints=len(log.checkpoints.store.seqs()),
            results=len(log.results),
            seeking=self._seeking,
        )

    async def run(self) -> None:
        """Follow the log until the timeline is closed; a log that replaces it is followed from its beginning.

        Raises LogError if the log cannot be read, LogDamaged if it is inconsistent.
        """
        while not self._closed:
            try:
                await self._log.follow()
            except (LogReplaced, SnapshotRefused):
                self._log.close()
                self._log = self._open()
            except LogBusy:
                if not self._closed:
                    raise
            else:
                return

    def close(self) -> None:
        """Close the log and wake all waiters. Closing twice is harmless."""
        self._closed = True
        self._log.close()

    async def wait_beyond(self, seq: int) -> int:
        """Return the seq of `views` once it exceeds `seq`; a closed timeline answers at once.

        Raises LogReplaced if the log was replaced in the meantime, UsageError if too many callers wait.
        """
        log = self._log
        reached = await log.moved.wait_beyond(seq)
        self._check_same(log)
        return reached

    async def as_of(self, seq: int) -> Views:
        """Return the views as of an event; they are shared, so callers must not fold them.

        Raises UsageError for a seq that the log does not hold, LogBusy if more than SEEKS_WAITING_MAX requests wait or
        the first fold has not reached the seq, LogReplaced if another log replaces this one in the meantime.
        """
        log = self._log
        if not 1 <= seq <= self.head_seq:
            contents = f"the events 1 to {self.head_seq:,}" if self.head_seq else "nothing yet"
            raise UsageError(f"there is no event {seq:,}: the log holds {contents}")
        if (cached := log.results.get(seq)) is not None:
            return cached
        if (folding := self.folding) is not None and seq > folding.seq:
            raise folding.as_error()
        if self._seeking >= SEEKS_WAITING_MAX:
            raise LogBusy(f"{SEEKS_WAITING_MAX} requests for past views are already waiting")
        self._seeking += 1
        try:
            async with self._seeks:
                self._check_same(log)
                return await log.as_of(seq)
        finally:
            self._seeking -= 1

    async def seq_at(self, at_ms: int) -> int:
        """Return the last event that was known at a market time (`projections.site.market_time`).

        Raises UsageError if the log begins later.
        """
        return await self._log.seq_at(at_ms)

    async def events(self, after_seq: int, limit: int = READ_EVENTS_MAX) -> Sequence[Recorded]:
        """Return at most `limit` events after `after_seq`. Raises UsageError for an invalid limit, and LogBusy."""
        return await self._log.pages.read(after_seq, limit)

    def _open(self) -> _FollowedLog:
        return _FollowedLog(*self._open_log(), self._make_views, self._checkpoints, self._distance_events)

    def _check_same(self, log: _FollowedLog) -> None:
        if log is not self._log:
            raise LogReplaced("the log was replaced during the request")


async def _fold_in_batches(views: Views, page: Sequence[Recorded]) -> None:
    """Fold a page; let other tasks run between the batches."""
    for first in range(0, len(page), BATCH_EVENTS_MAX):
        fold([views], page[first : first + BATCH_EVENTS_MAX])
        await asyncio.sleep(0)


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
