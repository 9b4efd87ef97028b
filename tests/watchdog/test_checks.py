"""Each check by itself: what is a problem, what is not, and what another problem covers."""

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
from papertape.events.units import HOUR_MS, MINUTE_MS
from papertape.projections.watchdog.checks import (
    REFUSED_AN_HOUR_MAX,
    AnomalyKind,
    DetectedProblem,
    ProcessMeasurements,
    find_problems,
    unmeasured_kinds,
)
from papertape.projections.watchdog.liveness import Liveness
from tests.build import candle_at, configured
from tests.watchdog.rig import SETTINGS, START_MS, SYMBOLS, opening, vitals_of

NOTHING = ProcessMeasurements()


def lived(minutes: int, *more: Event, speed: float = 1.0, symbols: tuple[str, ...] = SYMBOLS) -> Liveness:
    """An engine that had candles every minute; then some events in the last of them."""
    events: list[tuple[int, Event]] = [(START_MS, event) for event in opening(speed)]
    for minute in range(1, minutes + 1):
        at_ms = START_MS + minute * MINUTE_MS
        events += [(at_ms + 2_000, candle_at(at_ms, symbol)) for symbol in symbols]
    return vitals_of([*events, *((START_MS + minutes * MINUTE_MS, event) for event in more)])


def at(vitals: Liveness, minute: float, event: Event) -> None:
    """One more event, recorded so many minutes after the start."""
    vitals.apply(Recorded(vitals.seq + 1, START_MS + int(minute * MINUTE_MS), 0, event))


def close_candle(vitals: Liveness, minute: int, timing: Timing = Timing.ON_TIME, symbol: str = "BTCUSDT") -> None:
    """The candle that closes then."""
    at(vitals, minute, candle_at(START_MS + minute * MINUTE_MS, symbol, timing=timing))


def seen(vitals: Liveness, minute: float, measured: ProcessMeasurements = NOTHING) -> list[DetectedProblem]:
    """What is wrong and to be told."""
    problems = find_problems(vitals, measured, START_MS + int(minute * MINUTE_MS), SETTINGS)
    return [problem for problem in problems if not problem.covered]


def names(vitals: Liveness, minute: float, measured: ProcessMeasurements = NOTHING) -> list[tuple[str, str]]:
    return [(problem.kind.value, problem.subject) for problem in seen(vitals, minute, measured)]


def test_a_healthy_engine_has_no_problems() -> None:
    assert seen(lived(70), 71) == []


MEASUREMENTS = {
    "commit_slow": ({"commit_latency_ms": 1_001.0}, {"commit_latency_ms": 999.0}, "log", "commits takes 1,001 ms"),
    "disk_low": ({"disk_free_bytes": 5}, {"disk_free_bytes": 10**12}, "disk", "0.00 GB free (limit 1.00 GB)"),
    "clock_skew": ({"clock_skew_ms": -2_500.0}, {"clock_skew_ms": 900.0}, "this machine's clock", "2.5 s ahead of"),
    "alerts_stuck": ({"oldest_alert_age_s": 700.0}, {"oldest_alert_age_s": 0.0}, "alerts", "has been waiting for 11m"),
    "projection_behind": (
        {"projection_lag_events": {"arena": 100_001, "other": 3}},
        {"projection_lag_events": {"arena": 1}},
        "arena", "100,001 events behind",
    ),
    "wal_growing": (
        {"wal_blocked_bytes": 9_000_000, "log_users": ("sqlite3 (process 7)",)},
        {"wal_blocked_bytes": 7_000_000},
        "log",
        "9.0 MB of the log's -wal in use; the log is open in sqlite3 (process 7)",
    ),
    "log_not_read_back": ({"read_back_failure": "no memory"}, {"read_back_failure": ""}, "log", "back: no memory"),
    "loop_lag": ({"loop_lag_ms": 1_500.0}, {"loop_lag_ms": 3.0}, "event loop", "ran 1,500 ms late"),
    "backup_old": ({"backup_age_s": 97_200.0}, {"backup_age_s": 90_000.0}, "backup", "1d 3h old (limit 1d 2h)"),
    "backup_failed": ({"backup_failures": {"/usb": "no room"}}, {"backup_failures": {}}, "/usb", "no room"),
    "task_dead": ({"dead_tasks": ("alerts",)}, {"dead_tasks": ()}, "alerts", "this task has ended"),
}  # fmt: skip


@pytest.mark.parametrize("kind", MEASUREMENTS)
def test_a_measurement_beyond_its_limit_is_a_problem(kind: str) -> None:
    bad, good, subject, words = MEASUREMENTS[kind]
    (problem,) = seen(lived(5), 5, ProcessMeasurements(**bad))  # type: ignore[arg-type]
    assert (problem.kind.value, problem.subject) == (kind, subject)
    assert words in problem.detail
    assert seen(lived(5), 5, ProcessMeasurements(**good)) == []  # type: ignore[arg-type]


def test_the_disk_is_low_when_little_more_than_a_backup_fits() -> None:
    log_bytes, vitals = 20 * 10**9, lived(5)
    (problem,) = seen(vitals, 5, ProcessMeasurements(disk_free_bytes=3 * log_bytes - 1, log_bytes=log_bytes))
    assert problem.kind is AnomalyKind.DISK_LOW
    assert "60.00 GB free (limit 60.00 GB: 3 times the log's size" in problem.detail
    assert seen(vitals, 5, ProcessMeasurements(disk_free_bytes=3 * log_bytes, log_bytes=log_bytes)) == []
    assert seen(vitals, 5, ProcessMeasurements(disk_free_bytes=10**9, log_bytes=10**6)) == []


def test_unmeasured_kinds_are_named() -> None:
    assert AnomalyKind.DISK_LOW in unmeasured_kinds(NOTHING)
    assert AnomalyKind.DISK_LOW not in unmeasured_kinds(ProcessMeasurements(disk_free_bytes=0))
    assert AnomalyKind.DATA_STALE not in unmeasured_kinds(NOTHING)


def test_a_lost_feed_is_a_problem_that_covers_its_stale_symbols() -> None:
    vitals = lived(5, FeedLost(0, "bitget", "no answer"))
    at(vitals, 15, FeedLost(0, "bitget", "still none"))
    (problem,) = seen(vitals, 30)
    assert (problem.kind, problem.subject) == (AnomalyKind.WS_DISCONNECTED, "feed")
    assert problem.detail == "bitget lost for 25m: still none"
    covered = {
        one.subject for one in find_problems(vitals, NOTHING, START_MS + 30 * MINUTE_MS, SETTINGS) if one.covered
    }
    assert covered == set(SYMBOLS)


def test_a_feed_that_never_connects_after_a_start_is_a_problem() -> None:
    vitals = vitals_of([(START_MS, event) for event in opening()[:-1]])
    assert names(vitals, 4) == []
    assert names(vitals, 6) == [("ws_disconnected", "feed")]


def test_a_feed_may_fetch_a_long_history_before_it_connects() -> None:
    vitals = lived(30, EngineStarted(0, "test", "", ""))
    for minute in (3, 6, 9):
        close_candle(vitals, 30 + minute, Timing.WARM_UP)
    assert names(vitals, 40) == []


def refused(count: int, reason: str = "not_json") -> DataRefused:
    return DataRefused(0, "bitget", reason, count, 0, "ws://x: <html>")


def test_frequent_refusals_are_a_problem_until_an_hour_without_them() -> None:
    vitals = lived(5)
    at(vitals, 5, refused(REFUSED_AN_HOUR_MAX))
    assert seen(vitals, 5) == []
    at(vitals, 5, refused(REFUSED_AN_HOUR_MAX + 1))
    at(vitals, 5, refused(3, "stale"))
    (problem,) = seen(vitals, 5)
    assert (problem.kind, problem.subject) == (AnomalyKind.DATA_REFUSED, "not json")
    assert problem.detail == "1,001 times within an hour; latest: ws://x: <html>"
    for minute in range(6, 71):
        close_candle(vitals, minute)
        close_candle(vitals, minute, symbol="GALAUSDT")
    assert names(vitals, 69) == [("data_refused", "not json")]
    assert names(vitals, 70) == []


def test_a_restart_or_a_calmer_hour_ends_the_refusals() -> None:
    for over in (EngineStarted(0, "test", "", ""), refused(1)):
        vitals = lived(5, refused(REFUSED_AN_HOUR_MAX + 1))
        at(vitals, 6, over)
        assert names(vitals, 6) == []


def test_one_symbol_without_candles_is_stale_after_five_minutes() -> None:
    vitals = lived(10)
    for minute in range(11, 17):
        close_candle(vitals, minute)
    assert names(vitals, 14) == []
    (problem,) = seen(vitals, 15.1)
    assert (problem.kind, problem.subject) == (AnomalyKind.DATA_STALE, "GALAUSDT")
    assert problem.detail == "no candle for 5m; the newest closed at 2026-05-27 00:10 UTC"


def test_a_suspended_symbol_is_not_also_stale() -> None:
    vitals = lived(10, SymbolSuspended(0, "GALAUSDT", "its candles are missing"))
    for minute in range(11, 31):
        close_candle(vitals, minute)
    assert names(vitals, 30) == []


def test_a_resumed_symbol_gets_time_for_a_candle() -> None:
    suspended, resumed = SymbolSuspended(0, "GALAUSDT", "maintenance"), SymbolResumed(0, "GALAUSDT", "normal")
    vitals = lived(10, suspended)
    for minute in range(11, 31):
        close_candle(vitals, minute)
    at(vitals, 30, resumed)
    assert names(vitals, 31) == []
    assert ("data_stale", "GALAUSDT") in names(vitals, 35.1)


def test_a_symbol_gets_time_for_a_candle_after_a_restart() -> None:
    vitals = lived(10)
    now_ms = START_MS + 8 * HOUR_MS
    for event in (EngineStarted(now_ms, "test", "", ""), FeedConnected(now_ms, "bitget", now_ms, 1.0)):
        at(vitals, 8 * 60, event)
    assert names(vitals, 8 * 60 + 4) == []
    assert ("data_stale", "BTCUSDT") in names(vitals, 8 * 60 + 5)


def test_many_stale_symbols_are_one_problem_of_the_market() -> None:
    many = tuple(f"C{number}USDT" for number in range(40))
    events: list[tuple[int, Event]] = [(START_MS, event) for event in opening(strategies=())]
    events.append((START_MS, configured("momentum", many)))
    (problem,) = seen(vitals_of(events), 10)
    assert (problem.kind, problem.subject) == (AnomalyKind.DATA_STALE, "market")
    assert problem.detail.startswith("40 symbols without candles: C0USDT, C1USDT")


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
                close_candle(vitals, minute, symbol=symbol)
    assert names(vitals, 59) == []
    assert names(vitals, 129) == [("strategy_silent", "momentum")]


def test_a_strategy_whose_symbols_are_all_suspended_is_not_silent() -> None:
    held = [SymbolSuspended(0, symbol, "maintenance") for symbol in SYMBOLS]
    assert [name for name in names(lived(10, *held), 120) if name[0] == "strategy_silent"] == []


def test_evaluations_are_counted_by_timeframe_within_the_hour_and_not_for_history() -> None:
    vitals = vitals_of([(START_MS, event) for event in opening()])
    for minute in range(-120, 120):
        close_candle(vitals, minute, Timing.WARM_UP if minute < 0 else Timing.ON_TIME)
    now_ms = START_MS + 120 * MINUTE_MS - 30_000
    assert vitals.evaluations("momentum", now_ms) == 4
    assert vitals.evaluations("funding", now_ms) == 12


def test_no_candle_at_all_within_the_heartbeats_time_is_no_progress() -> None:
    vitals = lived(10)
    assert ("no_progress", "engine") not in names(vitals, 69)
    assert ("no_progress", "engine") in names(vitals, 71)


def test_a_market_played_to_its_end_is_no_problem() -> None:
    assert seen(lived(10, speed=900.0), 6_000, ProcessMeasurements(market_ended=True)) == []


def trip(scope: str) -> KillSwitchTripped:
    return KillSwitchTripped(0, scope, "daily_loss", 100.0, 100.0, 89.0, 10.0)


def test_a_global_trip_is_a_problem_that_covers_the_stopped_strategies() -> None:
    vitals = lived(10, trip("global"))
    (problem,) = seen(vitals, 10)
    assert problem.kind is AnomalyKind.KILL_SWITCH_GLOBAL
    assert "daily loss 11 % of 100.00" in problem.detail
    number = vitals.seq
    at(vitals, 10, KillSwitchReset(0, "global", number, "x", "y"))
    assert seen(vitals, 10) == []


def test_all_strategies_stopped_is_a_problem_whatever_the_reason() -> None:
    assert seen(lived(10, trip("momentum")), 10) == []
    (problem,) = seen(lived(10, trip("momentum"), RunnerPaused(0, "funding", "anna", "holiday")), 10)
    assert (problem.kind, problem.subject) == (AnomalyKind.ALL_STRATEGIES_STOPPED, "all strategies")
    assert "funding: paused by anna: holiday" in problem.detail


def test_an_unmeasured_skew_is_taken_from_the_feed_since_the_start() -> None:
    word = AnomalyRaised(0, "clock_skew", "this machine's clock", "3.0 s behind the exchange's")
    assert names(lived(5, word), 5) == [("clock_skew", "this machine's clock")]
    assert names(lived(5, word), 5, ProcessMeasurements(clock_skew_ms=0.0)) == []
    assert names(lived(5, word, EngineStarted(0, "test", "", "")), 5) == []
