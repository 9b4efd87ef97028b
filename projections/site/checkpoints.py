"""Forks of the views kept along the log, so that how it stood is never far from a place to fold from.

They stand at even distances. When there would be too many, every second one goes and the distance doubles: their
number is bounded, however long the log.
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
RESULTS_KEPT_MAX: Final = 16


class Checkpoint(Struct, frozen=True):
    """The views after an event, which nobody folds on. `at_ms`: no candle up to there closed later in market time.

    Warm-up candles do not count: they are of a time before the log.
    """

    seq: int
    at_ms: int
    views: Views


class Checkpoints:
    """Those that are kept, oldest first."""

    def __init__(self, count_max: int = CHECKPOINTS_MAX, distance_events: int = DISTANCE_EVENTS_MIN) -> None:
        self._count_max = count_max
        self._kept: list[Checkpoint] = []
        self.distance_events = distance_events

    def __len__(self) -> int:
        return len(self._kept)

    def events_until_due(self, seq: int) -> int:
        """How many events there are from `seq` to the place of the next checkpoint."""
        return self.distance_events - seq % self.distance_events

    def offer(self, views: Views) -> None:
        """Keep a fork of views that stand at the place of a checkpoint which there is not yet; pass by others."""
        seq = views.seq
        at = bisect_left(self._kept, seq, key=lambda one: one.seq)
        known = at < len(self._kept) and self._kept[at].seq == seq
        if seq == 0 or seq % self.distance_events or known:
            return
        self._kept.insert(at, Checkpoint(seq, seen_until_ms(views), fork(views)))
        if len(self._kept) > self._count_max:
            self.distance_events *= 2
            self._kept = [one for one in self._kept if one.seq % self.distance_events == 0]

    def last_before(self, seq: int) -> Checkpoint | None:
        """The last one at or before an event."""
        at = bisect_right(self._kept, seq, key=lambda one: one.seq)
        return self._kept[at - 1] if at else None

    def last_before_time(self, at_ms: int) -> Checkpoint | None:
        """The last one before which no candle closed after a moment."""
        at = bisect_right(self._kept, at_ms, key=lambda one: one.at_ms)
        return self._kept[at - 1] if at else None


def seen_until_ms(views: Views) -> int:
    """The newest close of a candle that is no warm-up, 0 where there was none."""
    return max((seen.at_ms for seen in views.seen.values()), default=0)


class ViewCache:
    """The views that were asked for last. They are shared: whoever has them reads and never folds."""

    def __init__(self, count_max: int = RESULTS_KEPT_MAX) -> None:
        self._count_max = count_max
        self._kept: OrderedDict[int, Views] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, seq: int) -> Views | None:
        """The views after exactly this event."""
        found = self._kept.get(seq)
        if found is not None:
            self._kept.move_to_end(seq)
        return found

    def nearest_before(self, seq: int) -> Views | None:
        """The nearest ones before an event."""
        nearest = max((known for known in self._kept if known <= seq), default=None)
        return self._kept[nearest] if nearest is not None else None

    def put(self, views: Views) -> None:
        """Remember, and forget those that were not asked for the longest."""
        self._kept[views.seq] = views
        self._kept.move_to_end(views.seq)
        while len(self._kept) > self._count_max:
            self._kept.popitem(last=False)
