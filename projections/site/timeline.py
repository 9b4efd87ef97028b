"""The views of one log over time: at its head, and as of any event (`projections.site.followed_log`)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from papertape.events.checkpoints.postings import Candidates, PostingQuery
from papertape.events.errors import LogBusy, LogReplaced, SnapshotRefused, UsageError
from papertape.events.log import READ_EVENTS_MAX
from papertape.projections.persistence.fold_store import FoldCheckpoints
from papertape.projections.site.followed_log import FollowedLog, LogTail
from papertape.projections.site.log_pages import EventReader
from papertape.projections.site.ports import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from papertape.events.log import Recorded
    from papertape.projections.site.views import Views

DISTANCE_EVENTS: Final = 8_192
"""Between two checkpoints: folding this many events takes well below 0.2 s."""
SEEKS_AT_ONCE_MAX: Final = 2
SEEKS_WAITING_MAX: Final = 64


class TimelineStatistics(Struct, frozen=True):
    """The progress of a timeline. `near_everywhere`: every event is near a checkpoint.

    `folded_events` were folded since the log was opened, also for views of the past.
    """

    seq: int
    head_seq: int
    near_everywhere: bool
    checkpoints: int
    folded_events: int
    results: int
    seeking: int


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
            folded_events=log.folded_events,
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

    async def unfolded(self) -> Views:
        """Return views of the end of a log that is not folded yet: names, contracts and closes, but no figure.

        They are shared, and change as the log grows. Raises LogBusy until the end of the log is known, LogReplaced if
        another log replaces this one in the meantime.
        """
        log = self._log
        if log.folding is not None and not log.tail.head_seq:
            raise log.folding.as_error()
        views = await log.unfolded()
        self._check_same(log)
        return views

    async def seq_at(self, at_ms: int) -> int:
        """Return the last event that was known at a market time (`projections.site.market_time`).

        Raises UsageError if the log begins later.
        """
        return await self._log.seq_at(at_ms)

    async def events(self, after_seq: int, limit: int = READ_EVENTS_MAX) -> Sequence[Recorded]:
        """Return at most `limit` events after `after_seq`. Raises UsageError for an invalid limit, and LogBusy."""
        return await self._log.pages.read(after_seq, limit)

    async def candidates(self, query: PostingQuery) -> Candidates:
        """Return the next stretches of the log that may hold what a search looks for."""
        return await self._log.candidates(query)

    def _open(self) -> FollowedLog:
        return FollowedLog(*self._open_log(), self._make_views, self._checkpoints, self._distance_events)

    def _check_same(self, log: FollowedLog) -> None:
        if log is not self._log:
            raise LogReplaced("the log was replaced during the request")
