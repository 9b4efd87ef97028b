"""Checkpoints of the views along the log, so that the views at any event can be folded from a nearby one.

They are evenly spaced. When there are too many, every second one is dropped and the distance doubles, so their number
is bounded however long the log.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from typing import Final

from msgspec import Struct

from papertape.projections.persistence.fork import fork
from papertape.projections.site.views import Views

DISTANCE_EVENTS_MIN: Final = 1_024
CHECKPOINTS_MAX: Final = 512
RESULTS_CACHED_MAX: Final = 16


class Checkpoint(Struct, frozen=True):
    """The views after an event; they are never folded further.

    No candle up to the event closed later than `at_ms` in market time. Warm-up candles do not count: they precede the
    log.
    """

    seq: int
    at_ms: int
    views: Views


class Checkpoints:
    """The kept checkpoints, oldest first."""

    def __init__(self, count_max: int = CHECKPOINTS_MAX, distance_events: int = DISTANCE_EVENTS_MIN) -> None:
        self._count_max = count_max
        self._checkpoints: list[Checkpoint] = []
        self.distance_events = distance_events

    def __len__(self) -> int:
        return len(self._checkpoints)

    def events_until_due(self, seq: int) -> int:
        """Return the number of events from `seq` to the next checkpoint."""
        return self.distance_events - seq % self.distance_events

    def offer(self, views: Views) -> None:
        """Keep a fork of the views if they are at the place of a checkpoint that is not kept yet."""
        seq = views.seq
        at = bisect_left(self._checkpoints, seq, key=lambda one: one.seq)
        exists = at < len(self._checkpoints) and self._checkpoints[at].seq == seq
        if seq == 0 or seq % self.distance_events or exists:
            return
        self._checkpoints.insert(at, Checkpoint(seq, newest_close_ms(views), fork(views)))
        if len(self._checkpoints) > self._count_max:
            self.distance_events *= 2
            self._checkpoints = [one for one in self._checkpoints if one.seq % self.distance_events == 0]

    def last_before(self, seq: int) -> Checkpoint | None:
        """Return the last checkpoint at or before an event."""
        at = bisect_right(self._checkpoints, seq, key=lambda one: one.seq)
        return self._checkpoints[at - 1] if at else None

    def last_before_time(self, at_ms: int) -> Checkpoint | None:
        """Return the last checkpoint before which no candle closed after `at_ms`."""
        at = bisect_right(self._checkpoints, at_ms, key=lambda one: one.at_ms)
        return self._checkpoints[at - 1] if at else None


def newest_close_ms(views: Views) -> int:
    """Return the newest close of a candle other than a warm-up candle; 0 without one."""
    return max((seen.at_ms for seen in views.seen.values()), default=0)


class ViewCache:
    """The most recently requested views. They are shared, so readers must not fold them."""

    def __init__(self, count_max: int = RESULTS_CACHED_MAX) -> None:
        self._count_max = count_max
        self._views: OrderedDict[int, Views] = OrderedDict()

    def __len__(self) -> int:
        return len(self._views)

    def get(self, seq: int) -> Views | None:
        """Return the views after exactly this event, or None."""
        views = self._views.get(seq)
        if views is not None:
            self._views.move_to_end(seq)
        return views

    def nearest_before(self, seq: int) -> Views | None:
        """Return the cached views nearest to an event, at or before it, or None."""
        nearest = max((cached for cached in self._views if cached <= seq), default=None)
        return self._views[nearest] if nearest is not None else None

    def put(self, views: Views) -> None:
        """Cache views, and drop the least recently requested ones."""
        self._views[views.seq] = views
        self._views.move_to_end(views.seq)
        while len(self._views) > self._count_max:
            self._views.popitem(last=False)
