"""The views of one log over time: at its head, and as of any event.

The head is folded as the log grows, a few events at a go, so that others have their turn. How it stood is folded from
the nearest place that is kept (`projections.site.checkpoints`) on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

from papertape.events.bus import Bus
from papertape.events.errors import LogBusy, LogDamaged, LogReplaced, UsageError
from papertape.events.log import READ_EVENTS_MAX
from papertape.projections.host import Cursor, fold
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
GO_EVENTS_MAX: Final = 128
"""So many are folded before others have their turn: a few milliseconds."""
SEEKS_AT_ONCE_MAX: Final = 2
SEEKS_WAITING_MAX: Final = 64
EMPTY_PAUSE_S: Final = 0.05


class LogTail(Protocol):
    """What says how far a log is committed: `events.tail.Tail`, or `events.bus.Bus` inside the writing process."""

    @property
    def head_seq(self) -> int:
        """The newest seq that is known."""

    @property
    def closed(self) -> bool:
        """Nothing follows."""

    async def wait_beyond(self, seq: int) -> int:
        """The newest seq, as soon as it is beyond `seq` or the tail is closed."""

    def close(self) -> None:
        """Wake everybody for the last time."""


class EventReader(Protocol):
    """Where events are read: `events.log_thread.LogThread`."""

    async def read(self, after_seq: int, limit: int = ..., /) -> list[Recorded]:
        """At most `limit` events beyond `after_seq`."""

    def close(self) -> None:
        """Let go of the log."""


class TimelineStatistics(Struct, frozen=True):
    """How far a timeline has come. `near_everywhere`: no event is further than `distance_events` from a checkpoint."""

    seq: int
    head_seq: int
    near_everywhere: bool
    checkpoints: int
    distance_events: int
    results: int
    seeking: int


class _FollowedLog:
    """Everything that is known of one log; another log begins with another one of these."""

    def __init__(
        self, tail: LogTail, pages: EventReader, make_views: Callable[[], Views], keeper: FoldPersistence
    ) -> None:
        self.tail, self.pages = tail, pages
        self._make_views, self._keeper = make_views, keeper
        self.views = make_views()
        self.moved = Bus()
        self.checkpoints, self.results = Checkpoints(), ViewCache()
        self.near_everywhere = False
        self._read_seq = 0
        self._first_goal_seq = 0
        self._restored: Views | None = None
        self._to_keep: asyncio.Queue[Views] = asyncio.Queue(1)

    def close(self) -> None:
        """Let go of it, and wake those who wait."""
        self.tail.close()
        self.pages.close()
        self.moved.close()

    async def follow(self) -> None:
        """Begin with what was kept, if anything was, and fold the head until the tail is closed."""
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
        """The newest event that is known; a page of events holds what was written since the tail's last look."""
        return max(self.tail.head_seq, self.views.seq, self._read_seq)

    @property
    def folding(self) -> Progress | None:
        """How far the first fold has come; None once the views have reached the end that the log had when it began."""
        goal_seq = self._first_goal_seq
        return Progress(self.views.seq, goal_seq) if self.views.seq < goal_seq else None

    async def _restore(self) -> None:
        fresh = self._make_views()
        views, seq = await asyncio.to_thread(self._keeper.restore, fresh, self.tail.head_seq)
        if seq:
            self.views, self._restored = views, fork(views)
            self.moved.publish(seq)

    async def _follow_head(self, helpers: Sequence[asyncio.Future[None]]) -> None:
        views, cursor = self.views, Cursor(self.views.seq)
        while await self.tail.wait_beyond(cursor.seq) > cursor.seq and not self.tail.closed:
            page = await self._page(cursor.seq)
            cursor.advance(page)
            await _fold_in_goes(views, page)
            self.checkpoints.offer(views)
            if self.moved.closed:
                return
            self.moved.publish(views.seq)
            if views.seq == self.tail.head_seq and self._to_keep.empty() and self._keeper.is_due(views.seq):
                self._to_keep.put_nowait(fork(views))
            for helper in helpers:
                if helper.done():
                    helper.result()
            if not page:  # The file was exchanged a moment ago: the tail is about to say so.
                await asyncio.sleep(EMPTY_PAUSE_S)

    async def _page(self, after_seq: int) -> list[Recorded]:
        """The events up to the place of the next checkpoint, or as many as make a page."""
        return await self.pages.read(after_seq, min(PAGE_EVENTS_MAX, self.checkpoints.events_until_due(after_seq)))

    async def _fill_up(self, until_seq: int) -> None:
        """Fold the log once more up to where what was kept begins, for the checkpoints, in half of the time."""
        views, loop = self._make_views(), asyncio.get_running_loop()
        while views.seq < until_seq:
            begun_s = loop.time()
            page = await self._page(views.seq)
            await _fold_in_goes(views, page)
            self.checkpoints.offer(views)
            if not page:
                return
            await asyncio.sleep(loop.time() - begun_s)
        self._restored, self.near_everywhere = None, True

    async def _save_head(self) -> None:
        """Save what stands at the head now and then; the head goes on meanwhile."""
        while True:
            views = await self._to_keep.get()
            await self._keeper.save(views.seq, views)

    async def as_of(self, seq: int) -> Views:
        """The views after an event that the log holds."""
        await self.moved.wait_beyond(seq - 1)
        known = self.results.get(seq)  # Another may have asked for the same in the meantime.
        if known is not None:
            return known
        views = self._forked_before(seq)
        while views.seq < seq:
            page = await self.pages.read(views.seq, min(PAGE_EVENTS_MAX, seq - views.seq))
            if not page:
                raise LogDamaged(seq, "the event was there a moment ago")
            await _fold_in_goes(views, page)
        self.results.put(views)
        return views

    def _forked_before(self, seq: int) -> Views:
        """A fork of the nearest views at or before an event, new ones where there are none."""
        checkpoint = self.checkpoints.last_before(seq)
        kept = checkpoint.views if checkpoint is not None else None
        found = (self.views, self._restored, self.results.nearest_before(seq), kept)
        usable = [views for views in found if views is not None and views.seq <= seq]
        return fork(max(usable, key=lambda views: views.seq)) if usable else self._make_views()

    async def seq_at(self, at_ms: int) -> int:
        """See `LogTimeline.seq_at`."""
        checkpoint = self.checkpoints.last_before_time(at_ms)
        seq, begun = (checkpoint.seq, checkpoint.at_ms > 0) if checkpoint is not None else (0, False)
        moment = MarketTimeCutoff(at_ms, begun=begun)
        while page := await self.pages.read(seq, PAGE_EVENTS_MAX):
            self._read_seq = max(self._read_seq, page[-1].seq)
            for recorded in page:
                if not moment.includes(recorded):
                    moment.check_begun()
                    return recorded.seq - 1
            seq = page[-1].seq
        moment.check_begun()
        return seq


class LogTimeline:
    """`projections.site.ports.Timeline` over a log that grows. `run` must run beside it; `close` it at the end."""

    def __init__(
        self,
        open_log: Callable[[], tuple[LogTail, EventReader]],
        make_views: Callable[[], Views],
        keeper: FoldPersistence | None = None,
    ) -> None:
        """`open_log` is asked again where another log has taken the place of the one that was read.

        `keeper` saves the views between two runs, so that the head is there at once.
        """
        self._open_log, self._make_views, self._keeper = open_log, make_views, keeper or NullFoldStore()
        self._seeks = asyncio.Semaphore(SEEKS_AT_ONCE_MAX)
        self._seeking = 0
        self._closed = False
        self._now = self._opened()

    @property
    def head_seq(self) -> int:
        """The newest event that the log holds, as far as is known here."""
        return self._now.head_seq

    @property
    def folding(self) -> Progress | None:
        """The progress of the first fold of the log; None once the views show all of it."""
        return self._now.folding

    @property
    def views(self) -> Views:
        """The views at `views.seq`, which catches up with the head. They move whenever others have their turn."""
        return self._now.views

    @property
    def closed(self) -> bool:
        """Nobody follows the log any more."""
        return self._closed

    def statistics(self) -> TimelineStatistics:
        """How far it has come, and what it keeps."""
        now = self._now
        return TimelineStatistics(
            seq=now.views.seq,
            head_seq=now.tail.head_seq,
            near_everywhere=now.near_everywhere,
            checkpoints=len(now.checkpoints),
            distance_events=now.checkpoints.distance_events,
            results=len(now.results),
            seeking=self._seeking,
        )

    async def run(self) -> None:
        """Follow the log until the timeline is closed; another log at its place is followed from its beginning.

        Raises LogError where the log cannot be read, LogDamaged where it does not hold.
        """
        while not self._closed:
            try:
                await self._now.follow()
            except LogReplaced:
                self._now.close()
                self._now = self._opened()
            except LogBusy:
                if not self._closed:
                    raise
            else:
                return

    def close(self) -> None:
        """Let go of the log and wake those who wait. Closing twice is harmless."""
        self._closed = True
        self._now.close()

    async def wait_beyond(self, seq: int) -> int:
        """The seq that `views` stands at, as soon as it is beyond `seq`; a closed timeline answers at once.

        Raises LogReplaced where the log that was waited for is no longer there, UsageError when too many wait.
        """
        then = self._now
        reached = await then.moved.wait_beyond(seq)
        self._check_same(then)
        return reached

    async def as_of(self, seq: int) -> Views:
        """The views as they stood after an event; they are shared, so they are read and never folded.

        Raises UsageError for a seq the log does not hold, LogBusy when more than SEEKS_WAITING_MAX ask at once or while
        the first fold has not come to it, LogReplaced where another log takes its place meanwhile.
        """
        then = self._now
        if not 1 <= seq <= self.head_seq:
            held = f"the events 1 to {self.head_seq:,}" if self.head_seq else "nothing yet"
            raise UsageError(f"there is no event {seq:,}: the log holds {held}")
        if (known := then.results.get(seq)) is not None:
            return known
        if (folding := self.folding) is not None and seq > folding.seq:
            raise folding.as_error()
        if self._seeking >= SEEKS_WAITING_MAX:
            raise LogBusy(f"{SEEKS_WAITING_MAX} moments are looked for already")
        self._seeking += 1
        try:
            async with self._seeks:
                self._check_same(then)
                return await then.as_of(seq)
        finally:
            self._seeking -= 1

    async def seq_at(self, at_ms: int) -> int:
        """The last event that was known at a moment of market time (`projections.site.market_time`).

        Raises UsageError where the log begins later.
        """
        return await self._now.seq_at(at_ms)

    async def events(self, after_seq: int, limit: int = READ_EVENTS_MAX) -> Sequence[Recorded]:
        """At most `limit` events beyond `after_seq`. Raises UsageError for a limit that cannot be, LogBusy."""
        return await self._now.pages.read(after_seq, limit)

    def _opened(self) -> _FollowedLog:
        return _FollowedLog(*self._open_log(), self._make_views, self._keeper)

    def _check_same(self, then: _FollowedLog) -> None:
        if then is not self._now:
            raise LogReplaced("another log took the place of the one that was asked")


async def _fold_in_goes(views: Views, page: Sequence[Recorded]) -> None:
    """Fold a page; others have their turn between the goes."""
    for first in range(0, len(page), GO_EVENTS_MAX):
        fold([views], page[first : first + GO_EVENTS_MAX])
        await asyncio.sleep(0)
