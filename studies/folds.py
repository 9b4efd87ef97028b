"""The windows of a walk-forward: train, embargo, test, rolling or anchored, laid over the newest candles."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from papertape.engine.research.set_result import TradedSpan
from papertape.events.errors import UsageError
from papertape.events.units import DAY_MS, HOUR_MS, MINUTE_MS
from papertape.projections.text.formats import duration, utc

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

UNITS_MS: Final = {"m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS, "w": 7 * DAY_MS}
DURATION = re.compile(r"(\d{1,6})([mhdw])")
FOLDS_MAX: Final = 1_000
TRAIN_MIN_MS: Final = 2 * DAY_MS
"""A set is chosen by the Sharpe ratio of its daily returns, which takes two of them."""
LONG_MS: Final = 180 * DAY_MS
EMBARGO_FROM_DAYS: Final = 30
FOLDABLE_DAYS_MIN: Final = 6


class Windows(Struct, frozen=True):
    """The lengths of a walk-forward. `anchored`: every training window starts at the first candle and grows."""

    train_ms: int
    test_ms: int
    embargo_ms: int = 0
    anchored: bool = False

    @property
    def words(self) -> str:
        """The lengths in words: `train 90d, embargo 1d, test 30d, rolling`."""
        embargo = f"embargo {duration(self.embargo_ms)}, " if self.embargo_ms else ""
        kind = "anchored" if self.anchored else "rolling"
        return f"train {duration(self.train_ms)}, {embargo}test {duration(self.test_ms)}, {kind}"


class Fold(Struct, frozen=True):
    """One step of a walk-forward: a set is chosen in training and then traded in the test."""

    number: int
    train: TradedSpan
    test: TradedSpan


class Stretch(Struct, frozen=True):
    """The candles that windows may cover: from the first that may be traded, after the warm-up, to the last."""

    first_ms: int
    until_ms: int
    warm_up_ms: int
    timeframe_ms: int

    @property
    def begins_ms(self) -> int:
        """The earliest start of a window."""
        return self.first_ms + self.warm_up_ms


def duration_ms(text: str, option: str, *, may_be_zero: bool = False) -> int:
    """Return the milliseconds of `90d`, `12h`, `2w` or `30m`. Raise UsageError with the option for anything else."""
    match = DURATION.fullmatch(text.strip())
    if match is None or (int(match[1]) == 0 and not may_be_zero):
        raise UsageError(f"{option} {text}: write a duration such as 90d, 12h, 2w or 30m")
    return int(match[1]) * UNITS_MS[match[2]]


def parse_matrix(text: str) -> list[tuple[int, int]]:
    """Return the pairs of training and test lengths of `60d,90d x 15d,30d`, in ms."""
    trains, times, tests = (part.strip() for part in text.partition(" x "))
    if not times:
        raise UsageError(f"--matrix {text!r}: write training and test lengths, such as '60d,90d,180d x 15d,30d'")
    lengths = [[duration_ms(one, "--matrix") for one in side.split(",")] for side in (trains, tests)]
    return [(train_ms, test_ms) for train_ms in dict.fromkeys(lengths[0]) for test_ms in dict.fromkeys(lengths[1])]


def default_windows(stretch: Stretch) -> Windows | None:
    """Return 90d/30d with an embargo of 1d for 180 days or more, else three tests of a sixth; None below six days."""
    days = (stretch.until_ms - _aligned(stretch.begins_ms, DAY_MS)) // DAY_MS
    if days < FOLDABLE_DAYS_MIN:
        return None
    if days * DAY_MS >= LONG_MS:
        return Windows(90 * DAY_MS, 30 * DAY_MS, DAY_MS)
    test, embargo = days // 6, int(days >= EMBARGO_FROM_DAYS)
    return Windows((days - 3 * test - embargo) * DAY_MS, test * DAY_MS, embargo * DAY_MS)


def make_folds(windows: Windows, stretch: Stretch) -> list[Fold]:
    """Return the folds, oldest first; the last test ends with the candles, and the tests follow each other.

    Windows of whole days begin at midnight UTC. Candles at the start that fill no window are left to the warm-up.
    Raise UsageError, naming the lengths, if not one fold fits, and for lengths that no fold can have.
    """
    _check(windows, stretch)
    step_ms = _grid_ms(windows, stretch)
    begins_ms = _aligned(stretch.begins_ms, step_ms)
    until_ms = stretch.until_ms // step_ms * step_ms
    needed_ms = windows.train_ms + windows.embargo_ms + windows.test_ms
    count = (until_ms - begins_ms - windows.train_ms - windows.embargo_ms) // windows.test_ms
    if count < 1:
        raise UsageError(_too_short(needed_ms, stretch))
    if count > FOLDS_MAX:
        raise UsageError(f"{windows.words}: that is {count:,} folds, at most {FOLDS_MAX:,} are run")
    starts = (until_ms - (count - number) * windows.test_ms for number in range(count))
    return [_fold(number, test_ms, windows, begins_ms) for number, test_ms in enumerate(starts, 1)]


def spans_of(whole: TradedSpan, folds: Iterable[Fold]) -> list[TradedSpan]:
    """Return the whole tape and the spans of folds, each once: their places are their ids."""
    return list(dict.fromkeys([whole, *(span for fold in folds for span in (fold.train, fold.test))]))


def warm_up_words(folds: Sequence[Fold], stretch: Stretch) -> str:
    """Return a note if the first fold had to wait a day or more for the warm-up, else an empty text."""
    if not folds or stretch.warm_up_ms < DAY_MS:
        return ""
    first_ms = folds[0].train.start_ms or 0
    if first_ms - stretch.first_ms - stretch.warm_up_ms >= DAY_MS:
        return ""
    return f"the first fold begins {utc(first_ms)} UTC, after a warm-up of {duration(stretch.warm_up_ms)}"


def _fold(number: int, test_ms: int, windows: Windows, begins_ms: int) -> Fold:
    train_until_ms = test_ms - windows.embargo_ms
    train_ms = begins_ms if windows.anchored else train_until_ms - windows.train_ms
    return Fold(number, TradedSpan(train_ms, train_until_ms), TradedSpan(test_ms, test_ms + windows.test_ms))


def _check(windows: Windows, stretch: Stretch) -> None:
    """Raise UsageError for lengths that no fold can have."""
    if windows.train_ms < TRAIN_MIN_MS:
        raise UsageError(f"--train {duration(windows.train_ms)}: a set is chosen by daily returns, train at least 2d")
    for option, length_ms in (("--train", windows.train_ms), ("--test", windows.test_ms)):
        if length_ms % stretch.timeframe_ms:
            candle = duration(stretch.timeframe_ms)
            raise UsageError(f"{option} {duration(length_ms)}: must be whole candles of {candle}")


def _grid_ms(windows: Windows, stretch: Stretch) -> int:
    """Return the largest of day, hour and candle of which all lengths are multiples."""
    lengths = (windows.train_ms, windows.test_ms, windows.embargo_ms)
    steps = (step for step in (DAY_MS, HOUR_MS) if not any(length % step for length in lengths))
    return next(steps, stretch.timeframe_ms)


def _aligned(at_ms: int, step_ms: int) -> int:
    """Return the first multiple of a step from a time on."""
    return -(-at_ms // step_ms) * step_ms


def _too_short(needed_ms: int, stretch: Stretch) -> str:
    covered = duration(stretch.until_ms - stretch.first_ms)
    left_ms = max(0, stretch.until_ms - stretch.begins_ms)
    warm_up = f", of which {duration(stretch.warm_up_ms)} warm up the indicators" if stretch.warm_up_ms else ""
    return (
        f"a fold needs {duration(needed_ms)} of candles, but there are {covered}{warm_up}: {duration(left_ms)} are"
        " left; use shorter --train and --test, or more candles"
    )
