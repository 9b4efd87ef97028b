"""Given facts of risk and operation, then markers at market time, and the feed's repairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.events.facts import EngineStarted, FeedConnected, FeedLost, GapFilled, GapFound
from papertape.events.units import MINUTE_MS
from papertape.projections.folds.marks import MARKERS_MAX, EquityMarkers
from papertape.projections.folds.portfolio import Portfolio
from papertape.projections.host import fold
from tests.build import DAY_0_MS, candle, configured, recorded, reset, tripped

if TYPE_CHECKING:
    from papertape.events.facts import Event

WALL_MS = DAY_0_MS + 900 * MINUTE_MS
LOST = FeedLost(DAY_0_MS + MINUTE_MS, "sim", "silence")


def connected(minute: int) -> FeedConnected:
    return FeedConnected(DAY_0_MS + minute * MINUTE_MS, "sim", WALL_MS, 1.0)


def marks(*events: Event) -> EquityMarkers:
    portfolio = Portfolio()
    made = EquityMarkers(portfolio)
    fold([portfolio, made], recorded(events))
    return made


def test_a_trip_and_its_reset_are_marked_at_market_time() -> None:
    found = marks(configured(), candle(0, 100.0), tripped("momentum"), candle(1, 100.0), reset("momentum", 3)).views()
    assert [(one.kind, one.subject, one.at_ms - DAY_0_MS) for one in found] == [
        ("configuration", "momentum", -DAY_0_MS),
        ("kill", "momentum", MINUTE_MS),
        ("reset", "momentum", 2 * MINUTE_MS),
    ]
    assert "session loss" in found[1].text
    assert "anna" in found[2].text


def test_an_outage_lasts_until_the_feed_is_back() -> None:
    found = marks(candle(0, 100.0), LOST, LOST, connected(7))
    assert [(one.kind, one.at_ms - DAY_0_MS, one.until_ms - DAY_0_MS) for one in found.views()] == [
        ("outage", MINUTE_MS, 7 * MINUTE_MS)
    ]
    assert found.repairs.losses == 1


def test_a_continuing_outage_has_no_end() -> None:
    assert marks(candle(0, 100.0), LOST).views()[-1].until_ms == 0


def test_a_start_says_whether_the_configuration_changed() -> None:
    started = [EngineStarted(WALL_MS, "0.1.0", "code", digest) for digest in ("a", "a", "b")]
    assert ["changed" in one.text for one in marks(*started).views()] == [False, False, True]


def test_gaps_are_marked_and_counted() -> None:
    hole = GapFound(DAY_0_MS, "BTCUSDT", DAY_0_MS, DAY_0_MS + 3 * MINUTE_MS, 3)
    healed = GapFilled(DAY_0_MS, "BTCUSDT", DAY_0_MS, DAY_0_MS + 2 * MINUTE_MS, 2)
    found = marks(hole, healed)
    assert [one.kind for one in found.views()] == ["hole", "hole"]
    counts = found.repairs
    assert (counts.holes_found, counts.candles_missing, counts.holes_healed, counts.candles_healed) == (1, 3, 1, 2)


def test_only_the_newest_markers_are_kept() -> None:
    found = marks(*[configured() for _ in range(MARKERS_MAX + 5)]).views()
    assert len(found) == MARKERS_MAX
    assert found[0].seq == 6
