"""The windows of a walk-forward."""

from __future__ import annotations

import pytest

from papertape.engine.research.set_result import TradedSpan
from papertape.events.errors import UsageError
from papertape.events.units import DAY_MS, HOUR_MS, MINUTE_MS
from papertape.studies.folds import (
    Stretch,
    Windows,
    default_windows,
    duration_ms,
    make_folds,
    parse_matrix,
    spans_of,
    warm_up_words,
)
from tests.build import DAY_0_MS

FRAME_MS = 5 * MINUTE_MS


def stretch(days: float, warm_up_ms: int = 0, first_ms: int = DAY_0_MS) -> Stretch:
    return Stretch(first_ms, first_ms + int(days * DAY_MS), warm_up_ms, FRAME_MS)


def in_days(span: TradedSpan) -> tuple[float, float]:
    assert span.start_ms is not None
    assert span.end_ms is not None
    return (span.start_ms - DAY_0_MS) / DAY_MS, (span.end_ms - DAY_0_MS) / DAY_MS


def test_rolling_windows_end_with_the_newest_candles() -> None:
    folds = make_folds(Windows(30 * DAY_MS, 10 * DAY_MS, DAY_MS), stretch(65))
    assert [(in_days(fold.train), in_days(fold.test)) for fold in folds] == [
        ((4, 34), (35, 45)),
        ((14, 44), (45, 55)),
        ((24, 54), (55, 65)),
    ]
    assert [fold.number for fold in folds] == [1, 2, 3]


def test_an_anchored_training_begins_with_the_candles() -> None:
    folds = make_folds(Windows(30 * DAY_MS, 10 * DAY_MS, anchored=True), stretch(55))
    assert [in_days(fold.train) for fold in folds] == [(0, 35), (0, 45)]
    assert [in_days(fold.test) for fold in folds] == [(35, 45), (45, 55)]


def test_no_window_begins_before_the_indicators_are_warm() -> None:
    warm_up_ms, windows = 3 * DAY_MS + HOUR_MS, Windows(30 * DAY_MS, 10 * DAY_MS)
    folds = make_folds(windows, stretch(44, warm_up_ms))
    assert in_days(folds[0].train) == (4, 34)
    assert warm_up_words(folds, stretch(44, warm_up_ms)) == (
        "the first fold begins 2025-01-05 00:00 UTC, after a warm-up of 3d 1h"
    )
    with pytest.raises(
        UsageError, match=r"needs 40d of candles, but there are 43d, of which 3d 1h warm up.*39d 23h are"
    ):
        make_folds(windows, stretch(43, warm_up_ms))


def test_windows_of_whole_days_begin_at_midnight_and_others_at_the_hour_or_candle() -> None:
    late = stretch(50, first_ms=DAY_0_MS + 7 * MINUTE_MS)
    for windows, step_ms in (
        (Windows(30 * DAY_MS, 10 * DAY_MS, DAY_MS), DAY_MS),
        (Windows(30 * DAY_MS, 10 * DAY_MS, 5 * HOUR_MS), HOUR_MS),
        (Windows(30 * DAY_MS, 10 * DAY_MS, FRAME_MS), FRAME_MS),
    ):
        folds = make_folds(windows, late)
        assert {(fold.test.start_ms or 0) % step_ms for fold in folds} == {0}
        assert late.begins_ms <= (folds[0].train.start_ms or 0)
        assert (folds[-1].test.end_ms or 0) <= late.until_ms


@pytest.mark.parametrize(
    ("windows", "words"),
    [
        (Windows(DAY_MS, DAY_MS), "--train 1d: a set is chosen by daily returns, train at least 2d"),
        (Windows(3 * DAY_MS, MINUTE_MS), "--test 1m: must be whole candles of 5m"),
        (Windows(90 * DAY_MS, 30 * DAY_MS), "a fold needs 120d of candles, but there are 100d: 100d are left"),
        (Windows(2 * DAY_MS, FRAME_MS), "at most 1,000 are run"),
    ],
)
def test_lengths_that_no_fold_can_have_are_refused(windows: Windows, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        make_folds(windows, stretch(100))
    assert words in str(refused.value)


def test_only_a_pause_may_have_no_length() -> None:
    assert duration_ms("0d", "--embargo", may_be_zero=True) == 0
    with pytest.raises(UsageError, match="--train 0d: write a duration"):
        duration_ms("0d", "--train")


@pytest.mark.parametrize(("days", "folds"), [(365, 9), (180, 2), (179, 3), (60, 3), (29, 3), (6, 3)])
def test_the_default_lengths_give_folds_for_any_data_of_six_days(days: int, folds: int) -> None:
    windows = default_windows(stretch(days))
    assert windows is not None
    assert len(make_folds(windows, stretch(days))) == folds
    assert windows.embargo_ms == (DAY_MS if days >= 30 else 0)


def test_below_six_days_there_are_no_default_folds() -> None:
    assert default_windows(stretch(5.9)) is None
    assert default_windows(stretch(7, warm_up_ms=2 * DAY_MS)) is None


def test_a_span_that_two_folds_share_is_run_once() -> None:
    windows = Windows(20 * DAY_MS, 10 * DAY_MS)
    folds = make_folds(windows, stretch(60))
    whole = TradedSpan()
    spans = spans_of(whole, folds)
    assert spans[0] == whole
    assert len(spans) == 1 + 2 * len(folds)
    assert spans_of(whole, [*folds, *folds]) == spans


@pytest.mark.parametrize(("text", "span_ms"), [("90d", 90 * DAY_MS), ("12h", 12 * HOUR_MS), ("2w", 14 * DAY_MS)])
def test_a_duration_is_a_number_with_its_unit(text: str, span_ms: int) -> None:
    assert duration_ms(text, "--train") == span_ms


@pytest.mark.parametrize("text", ["90", "d", "-1d", "0d", "1.5d", "1y", "90 d"])
def test_any_other_text_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError, match=f"--train {text}: write a duration such as 90d"):
        duration_ms(text, "--train")


def test_a_matrix_is_every_training_with_every_test() -> None:
    pairs = parse_matrix("60d,90d x 15d,30d")
    assert [(train // DAY_MS, test // DAY_MS) for train, test in pairs] == [(60, 15), (60, 30), (90, 15), (90, 30)]
    with pytest.raises(UsageError, match="--matrix"):
        parse_matrix("60d,90d")
