"""The views of one log over time: at its head, and as of any event.

The head is folded as the log grows, in small batches, so that other tasks can run. Past views are folded from the
nearest checkpoint (`projections.site.checkpoints`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

from papertape.events.bus import Bus
from papertape.events.errors import LogBusy, LogDamaged, LogReplaced, UsageError
from papertape.events.log import READ_EVENTS_MAX
from papertape.projections.host import Announcer, Cursor, fold
from papertape.projections.persistence.fold_store import NullFoldStore
from papertape.projections.persistence.fork import fork
from papertape.projections.site.checkpoints import Checkpoints, ViewCache
from papertape.projections.site.market_time import MarketTimeCutoff
from papertape.projections.site.ports import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from papertape.events.log import Recorded
    from papertape.projections.persistence.fold_store import FoldPersistence
    from papertape.projections.site.views import Views

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

    async def read(self, after_seq: int, limit: int = ..., /) -> list[Recorded]:
        """Return at most `limit` events after `after_seq`."""

    def close(self) -> None:
        """Close the log."""


class TimelineStatistics(Struct, frozen=True):
    """The progress of a timeline. `near_everywhere`: every event is within `distance_events` of a checkpoint."""

    seq: int
    head_seq: int
    near_everywhere: bool
    checkpoints: int
    distance_events: int
    results: int
    seeking: int


class _FollowedLog:
    """Everything known about one log; another log at its place starts a new instance."""

    def __init__(
        self, tail: LogTail, pages: EventReader, make_views: Callable[[], Views], fold_store: FoldPersistence
    ) -> None:
        self.tail, self.pages = tail, pages
        self._make_views, self._fold_store = make_views, fold_store
        self.views = make_views()
        self.moved = Bus()
        self.checkpoints, self.results = Checkpoints(), ViewCache()
        self.near_everywhere = False
        self._read_seq = 0
        self._first_goal_seq = 0
        self._restored: Views | None = None
        self._to_save: asyncio.Queue[Views] = asyncio.Queue(1)

    def close(self) -> None:
        """Close the log and wake all waiters."""
        self.tail.close()
        self.pages.close()
        self.moved.close()

    async def follow(self) -> None:
        """Start from the kept folds, if any, and fold the head until the tail is closed."""
        self._first_goal_seq = await self.tail.wait_beyond(0)
        if self._first_goal_seq == 0 or self.tail.closed:
            return
        await self._restore()
        helpers = [asyncio.ensure_future(work) for work in (self._fill_up(self.views.seq), self._save_head())]
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
        fresh = self._make_views()
        views, seq = await asyncio.to_thread(self._fold_store.restore, fresh, self.tail.head_seq)
        if seq:
            assert views.seq == seq, "kept views are at the seq of their snapshot"
            self.views, self._restored = views, fork(views)
            self.moved.publish(seq)

    async def _follow_head(self, helpers: Sequence[asyncio.Future[None]]) -> None:
        views, cursor = self.views, Cursor(self.views.seq)
        while await self.tail.wait_beyond(cursor.seq) > cursor.seq and not self.tail.closed:
            page = await self._page(cursor.seq)
            cursor.advance(page)
            await _fold_in_batches(views, page)
            self.checkpoints.offer(views)
            if self.moved.closed:
                return
            self.moved.publish(views.seq)
            if views.seq == self.tail.head_seq and self._to_save.empty() and self._fold_store.is_due(views.seq):
                self._to_save.put_nowait(fork(views))
            for helper in helpers:
                if helper.done():
                    helper.result()
            if not page:  # The file has just been replaced: the tail is about to report it.
                await asyncio.sleep(EMPTY_PAUSE_S)

    async def _page(self, after_seq: int) -> list[Recorded]:
        """Read the events up to the next checkpoint, at most one page."""
        return await self.pages.read(after_seq, min(PAGE_EVENTS_MAX, self.checkpoints.events_until_due(after_seq)))

    async def _fill_up(self, until_seq: int) -> None:
        """Fold the log again up to the restored views, to create the checkpoints, using half of the time."""
        views, loop = self._make_views(), asyncio.get_running_loop()
        while views.seq < until_seq:
            started_s = loop.time()
            page = await self._page(views.seq)
            await _fold_in_batches(views, page)
            self.checkpoints.offer(views)
            if not page:
                return
            await asyncio.sleep(loop.time() - started_s)
        self._restored, self.near_everywhere = None, True

    async def _save_head(self) -> None:
        """Save the views at the head from time to time while the head moves on."""
        while True:
            views = await self._to_save.get()
            await self._fold_store.save(views.seq, views)

    async def as_of(self, seq: int) -> Views:
        """Return the views after an event that the log holds."""
        await self.moved.wait_beyond(seq - 1)
        cached = self.results.get(seq)  # Another task may have requested the same event in the meantime.
        if cached is not None:
            return cached
        views = self._forked_before(seq)
        while views.seq < seq:
            page = await self.pages.read(views.seq, min(PAGE_EVENTS_MAX, seq - views.seq))
            if not page:
                raise LogDamaged(seq, "the event has disappeared")
            await _fold_in_batches(views, page)
        assert views.seq == seq, "the last page ends at the requested event"
        self.results.put(views)
        return views

    def _forked_before(self, seq: int) -> Views:
        """Fork the nearest views at or before an event; without any, make new ones."""
        checkpoint = self.checkpoints.last_before(seq)
        checkpoint_views = checkpoint.views if checkpoint is not None else None
        candidates = (self.views, self._restored, self.results.nearest_before(seq), checkpoint_views)
        usable = [views for views in candidates if views is not None and views.seq <= seq]
        return fork(max(usable, key=lambda views: views.seq)) if usable else self._make_views()

    async def seq_at(self, at_ms: int) -> int:
        """See `LogTimeline.seq_at`."""
        checkpoint = self.checkpoints.last_before_time(at_ms)
        seq, has_candle = (checkpoint.seq, checkpoint.at_ms > 0) if checkpoint is not None else (0, False)
        cutoff = MarketTimeCutoff(at_ms, has_candle=has_candle)
        while page := await self.pages.read(seq, PAGE_EVENTS_MAX):
            self._read_seq = max(self._read_seq, page[-1].seq)
            for recorded in page:
                if not cutoff.includes(recorded):
                    cutoff.check_begun()
                    return recorded.seq - 1
            seq = page[-1].seq
        cutoff.check_begun()
        return seq


class LogTimeline:
    """The `projections.site.ports.Timeline` of a growing log. Run `run` beside it; `close` it at the end."""

    def __init__(
        self,
        open_log: Callable[[], tuple[LogTail, EventReader]],
        make_views: Callable[[], Views],
        fold_store: FoldPersistence | None = None,
    ) -> None:
        """Open the log with `open_log`, which is called again if another log replaces it.

        `fold_store` saves the views between two runs, so that the head is available at once.
        """
        self._open_log, self._make_views, self._fold_store = open_log, make_views, fold_store or NullFoldStore()
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
            checkpoints=len(log.checkpoints),
            distance_events=log.checkpoints.distance_events,
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
            except LogReplaced:
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
        return _FollowedLog(*self._open_log(), self._make_views, self._fold_store)

    def _check_same(self, log: _FollowedLog) -> None:
        if log is not self._log:
            raise LogReplaced("the log was replaced during the request")


async def _fold_in_batches(views: Views, page: Sequence[Recorded]) -> None:
    """Fold a page; let other tasks run between the batches."""
    for first in range(0, len(page), BATCH_EVENTS_MAX):
        fold([views], page[first : first + BATCH_EVENTS_MAX])
        await asyncio.sleep(0)
