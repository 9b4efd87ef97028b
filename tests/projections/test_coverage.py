"""Given facts, then how much of its period a strategy could trade and did."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
from msgspec.structs import replace

from papertape.events.facts import GLOBAL_SCOPE, OrderRejected, RejectionReason, RunnerPaused, RunnerResumed, Timing
from papertape.events.units import HOUR_MS, MINUTE_MS
from papertape.projections.folds.coverage import REASONS_SHOWN_MAX, Coverage, CoverageView
from papertape.projections.folds.portfolio import Portfolio
from papertape.projections.host import fold
from tests.build import DAY_0_MS, cancelled, candle, closed, configured, listed, opened, recorded, reset, tripped

if TYPE_CHECKING:
    from papertape.events.facts import Event

PAUSED = RunnerPaused(DAY_0_MS, "momentum", "anna", "holiday")
RESUMED = RunnerResumed(DAY_0_MS, "momentum", "anna", "back")


def coverage(*events: Event) -> Coverage:
    portfolio = Portfolio()
    found = Coverage(portfolio)
    fold([portfolio, found], recorded(events))
    return found


def coverage_of(*events: Event) -> CoverageView:
    return coverage(configured(), *events).of("momentum")


def allowed_percent(*events: Event) -> float | None:
    return coverage_of(*events).entries_allowed_percent


def minutes(first: int, end: int) -> list[Event]:
    return [candle(minute, 100.0) for minute in range(first, end)]


def rejected(reason: RejectionReason) -> OrderRejected:
    return OrderRejected(DAY_0_MS, "momentum", "BTCUSDT", "long", reason, 0.5, {})


def test_before_the_first_candle_nothing_is_known() -> None:
    view = coverage_of()
    assert (view.from_ms, view.until_ms, view.traded_from_ms, view.entries_allowed_percent) == (0, 0, 0, None)


def test_a_trip_ends_the_time_in_which_entries_are_allowed() -> None:
    assert allowed_percent(*minutes(0, 100)) == 100.0
    assert allowed_percent(*minutes(0, 10), tripped("momentum"), *minutes(10, 100)) == pytest.approx(10.0)
    assert allowed_percent(*minutes(0, 10), tripped(GLOBAL_SCOPE), *minutes(10, 100)) == pytest.approx(10.0)
    assert allowed_percent(*minutes(0, 10), PAUSED, *minutes(10, 100)) == pytest.approx(10.0)
    assert allowed_percent(*minutes(0, 10), tripped("another"), *minutes(10, 100)) == 100.0


def test_a_reset_allows_entries_again_and_is_counted() -> None:
    first, second = [*minutes(0, 10), tripped("momentum")], [*minutes(10, 60), reset("momentum", 12), *minutes(60, 100)]
    view = coverage_of(*first, *second)
    assert view.entries_allowed_percent == pytest.approx(50.0)
    assert (len(view.trips), view.resets, view.trips[0].reset_at_ms) == (1, 1, DAY_0_MS + HOUR_MS)
    assert allowed_percent(*minutes(0, 10), PAUSED, *minutes(10, 60), RESUMED, *minutes(60, 100)) == pytest.approx(50.0)


def test_an_overlapping_trip_and_pause_block_once() -> None:
    story = [*minutes(0, 10), tripped("momentum"), PAUSED, *minutes(10, 60), reset("momentum", 12)]
    assert allowed_percent(*story, *minutes(60, 80), RESUMED, *minutes(80, 100)) == pytest.approx(30.0)


def test_warm_up_does_not_belong_to_the_period() -> None:
    warm_up = [candle(minute, 100.0, timing=Timing.WARM_UP) for minute in range(50)]
    view = coverage_of(PAUSED, *warm_up, *minutes(50, 75), RESUMED, *minutes(75, 150))
    assert (view.from_ms, view.until_ms) == (DAY_0_MS + 50 * MINUTE_MS, DAY_0_MS + 150 * MINUTE_MS)
    assert view.entries_allowed_percent == pytest.approx(75.0)


def test_the_traded_period_ends_with_the_last_fill_or_while_a_position_is_open_with_the_data() -> None:
    fills = [opened(at_ms=DAY_0_MS + 5 * MINUTE_MS), *minutes(6, 20)]
    still_open = coverage_of(*minutes(0, 6), *fills, *minutes(20, 100))
    assert (still_open.traded_from_ms, still_open.traded_until_ms) == (
        DAY_0_MS + 5 * MINUTE_MS,
        DAY_0_MS + 100 * MINUTE_MS,
    )
    over = coverage_of(*minutes(0, 6), *fills, closed(1.0, at_ms=DAY_0_MS + 20 * MINUTE_MS), *minutes(20, 100))
    assert (over.traded_from_ms, over.traded_until_ms) == (DAY_0_MS + 5 * MINUTE_MS, DAY_0_MS + 20 * MINUTE_MS)


def test_refusals_are_counted_by_reason_most_frequent_first() -> None:
    refusals = [*[rejected("stop_too_close")] * 2, *[rejected("below_minimum")] * 3, cancelled()]
    view = coverage_of(*minutes(0, 2), *refusals)
    counts = [("below_minimum", 3), ("stop_too_close", 2)]
    assert (list(view.refused.items()), view.cancelled) == (counts, {"late_candle": 1})
    assert view.refused_signals == 5
    words = "3 x the size is below the exchange's minimum, 2 x the stop is too close to the entry"
    assert view.refusal_words == words
    assert view.cancel_words == "1 x the next candle arrived late"


def test_only_the_most_frequent_reasons_are_spelled_out() -> None:
    reasons = [cast("RejectionReason", f"reason_{number}") for number in range(REASONS_SHOWN_MAX + 2)]
    view = coverage_of(*map(rejected, reasons))
    assert view.refusal_words.endswith("1 x reason 7, 2 more reasons")


def test_data_that_ends_more_than_a_candle_before_the_others_ends_early() -> None:
    one, other = listed("BTCUSDT", (1, 10), (1, 10_000)), listed("ETHUSDT", (1, 10), (1, 10_000))
    both = [configured(symbols=("BTCUSDT", "ETHUSDT")), one, other, *minutes(0, 60)]
    (late,) = coverage(*both, candle(9, 50.0, "ETHUSDT")).early_ends()
    assert (late.symbol, late.until_ms, late.behind_ms) == ("ETHUSDT", DAY_0_MS + 10 * MINUTE_MS, 50 * MINUTE_MS)
    assert late.words == "the data of ETHUSDT ends at 2025-01-01 00:10 UTC, 50m before the others"
    for minute in (58, 59):
        assert coverage(*both, candle(minute, 50.0, "ETHUSDT")).early_ends() == ()
    (nothing,) = coverage(*both).early_ends()
    assert nothing.words == "ETHUSDT has no candles in this period"
    warm_up = replace(candle(9, 50.0, "ETHUSDT"), timing=Timing.WARM_UP)
    assert coverage(*both, warm_up).early_ends() == (late,)


def test_a_log_without_candles_flags_nothing() -> None:
    assert coverage(configured(), listed("BTCUSDT", (1, 10), (1, 10_000))).early_ends() == ()
