"""Each check by itself: what is wrong, what is not, and what somebody else says already."""

from __future__ import annotations

import pytest

from papertape.events.facts import (
    AnomalyRaised,
    DataRefused,
    EngineStarted,
    Event,
    FeedConnected,
    FeedLost,
    KillSwitchReset,
    KillSwitchTripped,
    RunnerPaused,
    SymbolResumed,
    SymbolSuspended,
    Timing,
)
from papertape.events.log import Recorded
from papertape.projections.watchdog.checks import (
    REFUSED_AN_HOUR_MAX,
    AnomalyKind,
    DetectedProblem,
    ProcessMeasurements,
    find_problems,
    unmeasured_kinds,
)
from papertape.projections.watchdog.liveness import Liveness
from tests.projections.tape import configured
from tests.watchdog.given import HOUR_MS, MINUTE_MS, SETTINGS, START_MS, SYMBOLS, candle, opening, vitals_of

NOTHING = ProcessMeasurements()


def lived(minutes: int, *more: Event, speed: float = 1.0, symbols: tuple[str, ...] = SYMBOLS) -> Liveness:
    """An engine that had candles every minute; then some events in the last of them."""
    events: list[tuple[int, Event]] = [(START_MS, event) for event in opening(speed)]
    for minute in range(1, minutes + 1):
        at_ms = START_MS + minute * MINUTE_MS
        events += [(at_ms + 2_000, candle(at_ms, symbol)) for symbol in symbols]
    return vitals_of([*events, *((START_MS + minutes * MINUTE_MS, event) for event in more)])


def at(vitals: Liveness, minute: float, event: Event) -> None:
    """One more event, recorded so many minutes after the start."""
    vitals.apply(Recorded(vitals.seq + 1, START_MS + int(minute * MINUTE_MS), 0, event))


def candle_at(vitals: Liveness, minute: int, timing: Timing = Timing.ON_TIME, symbol: str = "BTCUSDT") -> None:
    """The candle that closes then."""
    at(vitals, minute, candle(START_MS + minute * MINUTE_MS, symbol, timing))


def seen(vitals: Liveness, minute: float, measured: ProcessMeasurements = NOTHING) -> list[DetectedProblem]:
    """What is wrong and to be told."""
    troubles = find_problems(vitals, measured, START_MS + int(minute * MINUTE_MS), SETTINGS)
    return [trouble for trouble in troubles if not trouble.covered]


def names(vitals: Liveness, minute: float, measured: ProcessMeasurements = NOTHING) -> list[tuple[str, str]]:
    return [(trouble.kind.value, trouble.subject) for trouble in seen(vitals, minute, measured)]


def test_nothing_is_wrong_with_an_engine_that_lives() -> None:
    assert seen(lived(70), 71) == []


MEASUREMENTS = {
    "commit_slow": ({"commit_latency_ms": 1_001.0}, {"commit_latency_ms": 999.0}, "log", "commits takes 1,001 ms"),
    "disk_low": ({"disk_free_bytes": 5}, {"disk_free_bytes": 10**12}, "disk", "0.00 GB are free, the limit is 1.00"),
    "clock_skew": ({"clock_skew_ms": -2_500.0}, {"clock_skew_ms": 900.0}, "this machine's clock", "2.5 s ahead of"),
    "alerts_stuck": ({"oldest_alert_age_s": 700.0}, {"oldest_alert_age_s": 0.0}, "alerts", "has waited for 11m"),
    "projection_behind": (
        {"projection_lag_events": {"arena": 100_001, "other": 3}},
        {"projection_lag_events": {"arena": 1}},
        "arena", "100,001 events behind",
    ),
    "wal_growing": (
        {"wal_blocked_bytes": 9_000_000, "log_users": ("sqlite3 (process 7)",)},
        {"wal_blocked_bytes": 7_000_000},
        "log",
        "9.0 MB of its -wal in use; the log is open in sqlite3 (process 7)",
    ),
    "log_not_read_back": ({"read_back_failure": "no memory"}, {"read_back_failure": ""}, "log", "back: no memory"),
    "loop_lag": ({"loop_lag_ms": 1_500.0}, {"loop_lag_ms": 3.0}, "event loop", "began 1,500 ms late"),
    "backup_old": ({"backup_age_s": 97_200.0}, {"backup_age_s": 90_000.0}, "backup", "1d 3h old, the limit is 1d 2h"),
    "task_dead": ({"dead_tasks": ("alerts",)}, {"dead_tasks": ()}, "alerts", "this task has ended"),
}  # fmt: skip


@pytest.mark.parametrize("kind", MEASUREMENTS)
def test_what_the_process_measures_is_wrong_beyond_its_limit(kind: str) -> None:
    bad, good, subject, words = MEASUREMENTS[kind]
    (trouble,) = seen(lived(5), 5, ProcessMeasurements(**bad))  # type: ignore[arg-type]
    assert (trouble.kind.value, trouble.subject) == (kind, subject)
    assert words in trouble.detail
    assert seen(lived(5), 5, ProcessMeasurements(**good)) == []  # type: ignore[arg-type]


def test_the_disk_is_low_where_little_more_than_a_backup_fits() -> None:
    log_bytes, vitals = 20 * 10**9, lived(5)
    (trouble,) = seen(vitals, 5, ProcessMeasurements(disk_free_bytes=3 * log_bytes - 1, log_bytes=log_bytes))
    assert trouble.kind is AnomalyKind.DISK_LOW
    assert "60.00 GB are free, the limit is 60.00, 3 times the log" in trouble.detail
    assert seen(vitals, 5, ProcessMeasurements(disk_free_bytes=3 * log_bytes, log_bytes=log_bytes)) == []
    assert seen(vitals, 5, ProcessMeasurements(disk_free_bytes=10**9, log_bytes=10**6)) == []


def test_what_is_not_measured_is_named() -> None:
    assert AnomalyKind.DISK_LOW in unmeasured_kinds(NOTHING)
    assert AnomalyKind.DISK_LOW not in unmeasured_kinds(ProcessMeasurements(disk_free_bytes=0))
    assert AnomalyKind.DATA_STALE not in unmeasured_kinds(NOTHING)


def test_a_lost_feed_is_wrong_and_the_stale_symbols_behind_it_are_said_by_it() -> None:
    vitals = lived(5, FeedLost(0, "bitget", "no answer"))
    at(vitals, 15, FeedLost(0, "bitget", "still none"))
    (trouble,) = seen(vitals, 30)
    assert (trouble.kind, trouble.subject) == (AnomalyKind.WS_DISCONNECTED, "feed")
    assert trouble.detail == "bitget lost for 25m: still none"
    covered = {
        one.subject for one in find_problems(vitals, NOTHING, START_MS + 30 * MINUTE_MS, SETTINGS) if one.covered
    }
    assert covered == set(SYMBOLS)


def test_a_feed_that_never_connects_after_a_start_is_wrong() -> None:
    vitals = vitals_of([(START_MS, event) for event in opening()[:-1]])
    assert names(vitals, 4) == []
    assert names(vitals, 6) == [("ws_disconnected", "feed")]


def test_a_feed_that_fetches_a_long_history_before_it_connects_is_not_wrong() -> None:
    vitals = lived(30, EngineStarted(0, "test", "", ""))
    for minute in (3, 6, 9):
        candle_at(vitals, 30 + minute, Timing.WARM_UP)
    assert names(vitals, 40) == []


def refused(count: int, reason: str = "not_json") -> DataRefused:
    return DataRefused(0, "bitget", reason, count, 0, "ws://x: <html>")


def test_data_that_is_refused_again_and_again_is_wrong_until_an_hour_went_without() -> None:
    vitals = lived(5)
    at(vitals, 5, refused(REFUSED_AN_HOUR_MAX))
    assert seen(vitals, 5) == []
    at(vitals, 5, refused(REFUSED_AN_HOUR_MAX + 1))
    at(vitals, 5, refused(3, "stale"))
    (trouble,) = seen(vitals, 5)
    assert (trouble.kind, trouble.subject) == (AnomalyKind.DATA_REFUSED, "not json")
    assert trouble.detail == "1,001 times within an hour; the newest: ws://x: <html>"
    for minute in range(6, 71):
        candle_at(vitals, minute)
        candle_at(vitals, minute, symbol="GALAUSDT")
    assert names(vitals, 69) == [("data_refused", "not json")]
    assert names(vitals, 70) == []


def test_a_new_start_or_a_calmer_hour_ends_what_was_refused() -> None:
    for over in (EngineStarted(0, "test", "", ""), refused(1)):
        vitals = lived(5, refused(REFUSED_AN_HOUR_MAX + 1))
        at(vitals, 6, over)
        assert names(vitals, 6) == []


def test_one_symbol_without_candles_is_stale_after_five_minutes() -> None:
    vitals = lived(10)
    for minute in range(11, 17):
        candle_at(vitals, minute)
    assert names(vitals, 14) == []
    (trouble,) = seen(vitals, 15.1)
    assert (trouble.kind, trouble.subject) == (AnomalyKind.DATA_STALE, "GALAUSDT")
    assert trouble.detail == "no candle for 5m; the newest closed at 2026-05-27 00:10 UTC"


def test_a_symbol_that_is_known_as_suspended_is_not_told_again() -> None:
    vitals = lived(10, SymbolSuspended(0, "GALAUSDT", "its candles are missing"))
    for minute in range(11, 31):
        candle_at(vitals, minute)
    assert names(vitals, 30) == []


def test_a_symbol_that_was_resumed_gets_its_time() -> None:
    suspended, resumed = SymbolSuspended(0, "GALAUSDT", "maintenance"), SymbolResumed(0, "GALAUSDT", "normal")
    vitals = lived(10, suspended)
    for minute in range(11, 31):
        candle_at(vitals, minute)
    at(vitals, 30, resumed)
    assert names(vitals, 31) == []
    assert ("data_stale", "GALAUSDT") in names(vitals, 35.1)


def test_a_symbol_gets_its_time_after_a_restart() -> None:
    vitals = lived(10)
    now_ms = START_MS + 8 * HOUR_MS
    for event in (EngineStarted(now_ms, "test", "", ""), FeedConnected(now_ms, "bitget", now_ms, 1.0)):
        at(vitals, 8 * 60, event)
    assert names(vitals, 8 * 60 + 4) == []
    assert ("data_stale", "BTCUSDT") in names(vitals, 8 * 60 + 5)


def test_many_stale_symbols_are_one_trouble_of_the_market() -> None:
    many = tuple(f"C{number}USDT" for number in range(40))
    events: list[tuple[int, Event]] = [(START_MS, event) for event in opening(strategies=())]
    events.append((START_MS, configured("momentum", many)))
    (trouble,) = seen(vitals_of(events), 10)
    assert (trouble.kind, trouble.subject) == (AnomalyKind.DATA_STALE, "market")
    assert trouble.detail.startswith("40 symbols without candles: C0USDT, C1USDT")


@pytest.mark.parametrize(("speed", "quiet", "late"), [(0.1, 19.0, 20.1), (60.0, 4.9, 5.1), (0.0, 4.9, 5.1)])
def test_the_pace_of_the_market_decides_what_is_stale(speed: float, quiet: float, late: float) -> None:
    """At a tenth of real time a candle takes ten minutes; a quicker one, or one without a pace, has five minutes."""
    vitals = lived(10, speed=speed)
    assert names(vitals, 10 + quiet) == []
    assert ("data_stale", "BTCUSDT") in names(vitals, 10 + late)


def test_a_strategy_without_a_candle_of_its_timeframe_for_an_hour_is_silent() -> None:
    vitals = vitals_of([(START_MS, event) for event in opening()])
    for minute in range(1, 130):
        if minute % 15:  # The candles that complete 15 minutes are those that never come.
            for symbol in SYMBOLS:
                candle_at(vitals, minute, symbol=symbol)
    assert names(vitals, 59) == []
    assert names(vitals, 129) == [("strategy_silent", "momentum")]


def test_a_strategy_whose_symbols_are_all_suspended_is_not_told_again() -> None:
    held = [SymbolSuspended(0, symbol, "maintenance") for symbol in SYMBOLS]
    assert [name for name in names(lived(10, *held), 120) if name[0] == "strategy_silent"] == []


def test_evaluations_are_counted_by_timeframe_within_the_hour_and_not_for_history() -> None:
    vitals = vitals_of([(START_MS, event) for event in opening()])
    for minute in range(-120, 120):
        candle_at(vitals, minute, Timing.WARM_UP if minute < 0 else Timing.ON_TIME)
    now_ms = START_MS + 120 * MINUTE_MS - 30_000
    assert vitals.evaluations("momentum", now_ms) == 4
    assert vitals.evaluations("funding", now_ms) == 12


def test_no_candle_at_all_within_the_heartbeats_time_is_no_progress() -> None:
    vitals = lived(10)
    assert ("no_progress", "engine") not in names(vitals, 69)
    assert ("no_progress", "engine") in names(vitals, 71)


def test_a_market_that_was_played_to_its_end_is_not_wrong() -> None:
    assert seen(lived(10, speed=900.0), 6_000, ProcessMeasurements(market_ended=True)) == []


def trip(scope: str) -> KillSwitchTripped:
    return KillSwitchTripped(0, scope, "daily_loss", 100.0, 100.0, 89.0, 10.0)


def test_the_global_kill_switch_is_wrong_and_says_that_all_are_stopped() -> None:
    vitals = lived(10, trip("global"))
    (trouble,) = seen(vitals, 10)
    assert trouble.kind is AnomalyKind.KILL_SWITCH_GLOBAL
    assert "daily loss 11 % of 100.00" in trouble.detail
    number = vitals.seq
    at(vitals, 10, KillSwitchReset(0, "global", number, "x", "y"))
    assert seen(vitals, 10) == []


def test_all_strategies_stopped_is_wrong_whatever_stops_them() -> None:
    assert seen(lived(10, trip("momentum")), 10) == []
    (trouble,) = seen(lived(10, trip("momentum"), RunnerPaused(0, "funding", "anna", "holiday")), 10)
    assert (trouble.kind, trouble.subject) == (AnomalyKind.ALL_STRATEGIES_STOPPED, "all strategies")
    assert "funding: paused by anna: holiday" in trouble.detail


def test_a_skew_that_is_not_measured_is_known_by_the_feeds_word_of_this_life() -> None:
    word = AnomalyRaised(0, "clock_skew", "this machine's clock", "3.0 s behind the exchange's")
    assert names(lived(5, word), 5) == [("clock_skew", "this machine's clock")]
    assert names(lived(5, word), 5, ProcessMeasurements(clock_skew_ms=0.0)) == []
    assert names(lived(5, word, EngineStarted(0, "test", "", "")), 5) == []
