"""How fast a study runs, and an estimate of what it will take, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from papertape.events.units import DAY_MS
from papertape.projections.text.formats import duration, file_size

if TYPE_CHECKING:
    from papertape.engine.research.set_result import TradedSpan
    from papertape.studies.folds import Stretch

ROW_BYTES: Final = 190
DAY_BYTES: Final = 8
DAYS_SETS_MAX: Final = 20_000
"""Daily equities of a larger study are kept for some of its sets only."""


class Pace:
    """How many set-days a process runs per second; a set-day is one set over one day of candles."""

    def __init__(self, stretch: Stretch) -> None:
        self._stretch = stretch
        self._set_days_per_s = 0.0

    @property
    def is_known(self) -> bool:
        """Whether a task has been measured."""
        return self._set_days_per_s > 0.0

    def learn(self, span: TradedSpan, sets: int, took_s: float) -> None:
        """Take the last task as the measure: the market is prepared by then, and the machine is as busy."""
        if sets and took_s > 0.0:
            self._set_days_per_s = sets * self.days(span) / took_s

    def seconds(self, set_days: float, jobs: int) -> float:
        """Return how long `set_days` take in `jobs` processes, in seconds."""
        return set_days / self._set_days_per_s / jobs if self.is_known else 0.0

    def days(self, span: TradedSpan) -> float:
        """Return the days of a span that have candles, at least a small part of one."""
        start_ms = self._stretch.first_ms if span.start_ms is None else max(span.start_ms, self._stretch.first_ms)
        end_ms = self._stretch.until_ms if span.end_ms is None else min(span.end_ms, self._stretch.until_ms)
        return max(end_ms - start_ms, self._stretch.timeframe_ms) / DAY_MS


class Estimate(Struct, frozen=True):
    """What a study will do. A run is one set over one span; `stored` counts those that need not run again."""

    sets: int
    folds: int
    runs: int
    stored: int
    seconds: float
    size_bytes: int
    trials: int

    @property
    def words(self) -> str:
        """The estimate in one line: `600 sets x 5 folds, about 4 s, 12 MB; 1,200 trials so far`."""
        folds = f" x {self.folds:,} {'fold' if self.folds == 1 else 'folds'}" if self.folds else ""
        rest = f", {self.stored:,} of {self.runs:,} runs are stored" if self.stored else ""
        work = f"{self.sets:,} {'set' if self.sets == 1 else 'sets'}{folds}{rest}"
        trials = f"{self.trials:,} {'trial' if self.trials == 1 else 'trials'}"
        return f"{work}, about {_seconds(self.seconds)}, {file_size(self.size_bytes)}; {trials} so far"


def size_bytes(sets: int, spans_days: list[float]) -> int:
    """Return about how large the file of a study becomes."""
    with_days = min(sets, DAYS_SETS_MAX)
    return sum(sets * ROW_BYTES + int(with_days * (days + 1) * DAY_BYTES) for days in spans_days)


def _seconds(seconds: float) -> str:
    return f"{max(1, round(seconds))} s" if seconds < 90.0 else duration(int(seconds) * 1_000)
