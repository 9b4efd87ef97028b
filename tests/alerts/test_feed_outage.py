"""An outage is one loss and one recovery, whatever the order of the facts and however often the feed flaps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.events.facts import EngineStarted, GapFound, Timing
from papertape.events.units import HOUR_MS, MINUTE_MS
from papertape.projections.alerts.feed_outage import UNSTEADY_MS, FeedOutage, FeedOutageTracker, FeedRecovery
from tests.alerts.example_day import BACK_MS, GAPS, late
from tests.build import BTC, GALA, candle_at, connected, lost, started

if TYPE_CHECKING:
    from collections.abc import Iterable

    from papertape.events.facts import Event

LOST_MS = BACK_MS - 12 * MINUTE_MS
LIVE: list[Event] = [started(), connected(LOST_MS - HOUR_MS), candle_at(LOST_MS, BTC), candle_at(LOST_MS, GALA)]


def news(events: Iterable[Event]) -> list[tuple[int, FeedOutage | FeedRecovery]]:
    """What was told, each with its place."""
    story, told = FeedOutageTracker(), []
    for place, event in enumerate(events):
        story.apply(event)
        if story.news is not None:
            told.append((place, story.news))
    return told


def test_a_start_with_a_delivering_feed_is_not_reported() -> None:
    assert news(LIVE) == []
    warm_up = candle_at(LOST_MS, timing=Timing.WARM_UP)
    assert news([started(), warm_up, connected(LOST_MS), candle_at(LOST_MS + MINUTE_MS)]) == []


def test_a_new_log_reports_no_absence_before_its_first_candle() -> None:
    first = [started(BACK_MS), *late(12, LOST_MS), connected(BACK_MS), candle_at(BACK_MS + MINUTE_MS)]
    assert news(first) == []
    assert news([started(LOST_MS), started(BACK_MS), *late(12, LOST_MS), connected(BACK_MS)]) == []
    later_ms = BACK_MS + 4 * MINUTE_MS
    ((_, back),) = news([*first, started(later_ms), *late(3, BACK_MS + MINUTE_MS), connected(later_ms)])
    assert isinstance(back, FeedRecovery) and back.from_ms == BACK_MS + MINUTE_MS


def test_a_feed_that_catches_up_first_is_back_when_it_connects() -> None:
    events = [*LIVE, lost(LOST_MS), *late(12, LOST_MS), *GAPS, connected(BACK_MS), candle_at(BACK_MS + MINUTE_MS)]
    (_, first), (place, back) = news(events)
    assert first == FeedOutage("bitget", "no message for 90 s; it is tried again")
    assert events[place] == connected(BACK_MS)
    assert back == FeedRecovery("bitget", LOST_MS, BACK_MS, 24, 2, 0, 1, absence=False)


def test_a_feed_that_connects_first_is_back_when_the_gap_is_filled() -> None:
    live = candle_at(BACK_MS + MINUTE_MS)
    events = [*LIVE, lost(LOST_MS), connected(BACK_MS), *late(12, LOST_MS), *GAPS, live]
    _, (place, back) = news(events)
    assert events[place] == live
    assert back == FeedRecovery("bitget", LOST_MS, BACK_MS, 24, 2, 0, 1, absence=False)


def test_a_loss_without_a_missed_candle_ends_at_once() -> None:
    told = news([*LIVE, lost(LOST_MS + 1_000), connected(LOST_MS + 21_000)])
    assert [type(one) for _, one in told] == [FeedOutage, FeedRecovery]
    assert told[1][1] == FeedRecovery("bitget", LOST_MS + 1_000, LOST_MS + 21_000, 0, 0, 0, 1, absence=False)


def test_an_absence_of_the_engine_is_reported_with_its_backfilled_candles() -> None:
    absence: list[Event] = [*late(12, LOST_MS), connected(BACK_MS)]
    ((_, back),) = news([*LIVE, started(BACK_MS), *absence])
    assert back == FeedRecovery("bitget", LOST_MS, BACK_MS, 24, 2, 0, 0, absence=True)
    assert news([*LIVE, started(LOST_MS + 1_000), connected(LOST_MS + 30_000)]) == []


def test_a_loss_continues_through_a_restart() -> None:
    restart = EngineStarted(BACK_MS, "1.4.0", "a", "b")
    told = news([*LIVE, lost(LOST_MS), restart, lost(BACK_MS), *late(12, LOST_MS), connected(BACK_MS)])
    (_, loss), (_, back) = told
    assert isinstance(loss, FeedOutage)
    assert isinstance(back, FeedRecovery)
    assert back.losses == 2


def test_late_candles_of_a_single_symbol_are_not_reported() -> None:
    assert news([*LIVE, candle_at(LOST_MS + MINUTE_MS, GALA, timing=Timing.LATE), *GAPS]) == []


def test_unavailable_candles_are_counted() -> None:
    gap = GapFound(BACK_MS, BTC, LOST_MS, LOST_MS + 4 * MINUTE_MS, 4)
    told = news([*LIVE, lost(LOST_MS), gap, *late(8, LOST_MS + 4 * MINUTE_MS), connected(BACK_MS)])
    _, back = told[1]
    assert isinstance(back, FeedRecovery)
    assert (back.missing, back.candles) == (4, 16)


def flapping(hours: int) -> list[Event]:
    """20 s on, 20 s off, with a candle whenever a minute ends while it is on."""
    events = list(LIVE)
    for at_ms in range(LOST_MS + 20_000, LOST_MS + hours * HOUR_MS, 20_000):
        off = (at_ms - LOST_MS) // 20_000 % 2 == 1
        events.append(lost(at_ms) if off else connected(at_ms))
        if not off and at_ms % MINUTE_MS == 0:
            events.append(candle_at(at_ms))
    return events


def test_a_feed_that_flaps_for_an_hour_causes_at_most_five_messages() -> None:
    end_ms = LOST_MS + HOUR_MS
    calm = [connected(end_ms), *[candle_at(end_ms + minute * MINUTE_MS) for minute in range(1, 30)]]
    told = [one for _, one in news([*flapping(1), *calm])]
    assert [type(one) for one in told] == [FeedOutage, FeedRecovery, FeedOutage, FeedRecovery]
    _, _, loss, back = told
    assert isinstance(loss, FeedOutage) and loss.back_for_ms > 0
    assert isinstance(back, FeedRecovery) and back.losses == 89
    assert back.steady_ms >= UNSTEADY_MS


def test_a_day_of_flapping_causes_no_more_messages() -> None:
    assert len(news(flapping(24))) <= 3


def test_a_loss_long_after_the_last_is_an_ordinary_one() -> None:
    later_ms = BACK_MS + UNSTEADY_MS
    told = news([*LIVE, lost(LOST_MS), *late(12, LOST_MS), connected(BACK_MS), lost(later_ms)])
    assert told[-1][1] == FeedOutage("bitget", "no message for 90 s; it is tried again")
