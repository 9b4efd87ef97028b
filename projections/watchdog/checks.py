"""Detect what is wrong right now, from the log and from measurements of the process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.projections.text.formats import duration, file_size, utc
from papertape.projections.text.reasons import reason_words

if TYPE_CHECKING:
    from papertape.projections.watchdog.liveness import Liveness
    from papertape.projections.watchdog.settings import WatchdogSettings

STALE_NAMED_MAX = 5
"""If more symbols are stale at once, it is one problem of the whole market."""
TASKS_NAMED_MAX = 20
LOGS_FREE_MIN = 3
"""Less free disk space than this multiple of the log's size raises an anomaly, before a backup runs out of space."""
GIGABYTE = 1_000_000_000.0
WHOLE_MARKET = "market"
CLOCK = "this machine's clock"
STALE_CANDLES = 2
NOT_CONNECTED = "feed"
REFUSED_AN_HOUR_MAX = 1_000
"""A few refusals are normal; more than this for one reason means that the exchange changed its data."""
REFUSED_STANDS_MS = 3_900_000
"""The feed reports refusals once an hour."""


class AnomalyKind(StrEnum):
    """Everything the watchdog checks."""

    WS_DISCONNECTED = "ws_disconnected"
    DATA_STALE = "data_stale"
    DATA_REFUSED = "data_refused"
    STRATEGY_SILENT = "strategy_silent"
    STRATEGY_FAILED = "strategy_failed"
    NO_PROGRESS = "no_progress"
    ALL_STRATEGIES_STOPPED = "all_strategies_stopped"
    KILL_SWITCH_GLOBAL = "kill_switch_global"
    COMMIT_SLOW = "commit_slow"
    DISK_LOW = "disk_low"
    CLOCK_SKEW = "clock_skew"
    ALERTS_STUCK = "alerts_stuck"
    PROJECTION_BEHIND = "projection_behind"
    LOOP_LAG = "loop_lag"
    TASK_DEAD = "task_dead"
    BACKUP_OLD = "backup_old"
    BACKUP_FAILED = "backup_failed"
    WAL_GROWING = "wal_growing"
    LOG_NOT_READ_BACK = "log_not_read_back"
    RESULT_FAR_BELOW_PROMISE = "result_far_below_promise"
    RESULT_BELOW_PROMISE = "result_below_promise"
    TRADES_OFF_PROMISE = "trades_off_promise"
    COSTS_ABOVE_PROMISE = "costs_above_promise"


class ProcessMeasurements(Struct, frozen=True, kw_only=True):
    """What only the process knows. None is not measured: an anomaly based on it stays open until it is measured again.

    `commit_latency_ms` and `loop_lag_ms` cover the last minutes; `clock_skew_ms` is how far the exchange's clock is
    ahead; `log_bytes` is what a backup copies; `oldest_alert_age_s` is 0 if none is waiting; `backup_age_s` is
    the age of the newest verified backup; `backup_failures` is why the newest attempts failed, by destination;
    `projection_lag_events` is by name. `market_ended` means that a recorded or limited market was played to its end, so
    nothing more will come. `wal_blocked_bytes` is how much of the -wal a reader of an old state keeps in use,
    `log_users` who else has the log open; `read_back_failure` is why the log cannot be read back, empty if it can.
    """

    commit_latency_ms: float | None = None
    disk_free_bytes: int | None = None
    clock_skew_ms: float | None = None
    oldest_alert_age_s: float | None = None
    projection_lag_events: Mapping[str, int] | None = None
    loop_lag_ms: float | None = None
    dead_tasks: tuple[str, ...] | None = None
    backup_age_s: float | None = None
    backup_failures: Mapping[str, str] | None = None
    wal_blocked_bytes: int | None = None
    log_users: tuple[str, ...] = ()
    read_back_failure: str | None = None
    log_bytes: int | None = None
    market_ended: bool = False


class DetectedProblem(Struct, frozen=True):
    """Something that is wrong now.

    `covered`: another problem already covers it, or it is too early to tell. It keeps a raised anomaly open, and raises
    none. `renews`: it is reported again when its text changes, not only with every reminder. Without `reminds` it is
    reported only when it begins and when it is over.
    """

    kind: AnomalyKind
    subject: str
    detail: str
    covered: bool = False
    renews: bool = False
    reminds: bool = True


def find_problems(
    vitals: Liveness, measured: ProcessMeasurements, now_ms: int, settings: WatchdogSettings
) -> list[DetectedProblem]:
    """Return everything that is wrong now. `now_ms` is the machine's clock."""
    problems = [*_strategies_stopped(vitals), *_process(measured, settings), *_skew(vitals, measured, settings)]
    if not measured.market_ended:
        problems += _feed(vitals, now_ms, settings)
        problems += _stale(vitals, now_ms, settings)
        problems += _refused(vitals, now_ms)
        problems += _silent(vitals, now_ms, settings)
        problems += _no_progress(vitals, now_ms, settings.heartbeat_s)
    return problems


MEASURED_BY: dict[str, AnomalyKind] = {
    "commit_latency_ms": AnomalyKind.COMMIT_SLOW,
    "disk_free_bytes": AnomalyKind.DISK_LOW,
    "oldest_alert_age_s": AnomalyKind.ALERTS_STUCK,
    "projection_lag_events": AnomalyKind.PROJECTION_BEHIND,
    "loop_lag_ms": AnomalyKind.LOOP_LAG,
    "dead_tasks": AnomalyKind.TASK_DEAD,
    "backup_age_s": AnomalyKind.BACKUP_OLD,
    "backup_failures": AnomalyKind.BACKUP_FAILED,
    "wal_blocked_bytes": AnomalyKind.WAL_GROWING,
    "read_back_failure": AnomalyKind.LOG_NOT_READ_BACK,
}


def unmeasured_kinds(measured: ProcessMeasurements) -> frozenset[AnomalyKind]:
    """Return the kinds that were not measured this time. An unmeasured skew is taken from the feed's own anomaly."""
    return frozenset(kind for name, kind in MEASURED_BY.items() if getattr(measured, name) is None)


# ---------------------------------------------------------------- the market


def _feed(vitals: Liveness, now_ms: int, settings: WatchdogSettings) -> Iterator[DetectedProblem]:
    feed = vitals.feed
    if feed is None:
        # Before it connects, a feed may have a long history to fetch: candles are proof enough.
        waited_ms = min(vitals.without_candle_ms(now_ms), vitals.up_ms(now_ms))
        detail = f"not connected since the start {duration(vitals.up_ms(now_ms))} ago"
        yield DetectedProblem(
            AnomalyKind.WS_DISCONNECTED, NOT_CONNECTED, detail, covered=waited_ms < _ms(settings.stale_s)
        )
    elif not feed.delivers:
        yield DetectedProblem(
            AnomalyKind.WS_DISCONNECTED,
            NOT_CONNECTED,
            f"{feed.name} lost for {duration(now_ms - feed.since_ms)}: {feed.why}",
        )


def stale_after_ms(vitals: Liveness, symbol: str, settings: WatchdogSettings) -> int:
    """Return the maximum age of a symbol's newest candle on the machine's clock, at the pace of its market."""
    pulse = vitals.newest.get(symbol)
    candles_ms = 0 if pulse is None else vitals.real_ms(STALE_CANDLES * pulse.timeframe_ms)
    return max(_ms(settings.stale_s), candles_ms)


def _stale(vitals: Liveness, now_ms: int, settings: WatchdogSettings) -> Iterator[DetectedProblem]:
    limits_ms = {symbol: stale_after_ms(vitals, symbol, settings) for symbol in vitals.symbols}
    old = [symbol for symbol, limit_ms in limits_ms.items() if vitals.candle_age_ms(symbol, now_ms) >= limit_ms]
    reported = [
        symbol
        for symbol in old
        if symbol not in vitals.suspended and vitals.waited_ms(symbol, now_ms) >= limits_ms[symbol]
    ]
    many = len(reported) > STALE_NAMED_MAX
    if many:
        names = ", ".join(reported[:STALE_NAMED_MAX])
        yield DetectedProblem(
            AnomalyKind.DATA_STALE, WHOLE_MARKET, f"{len(reported)} symbols without candles: {names} and others"
        )
    elif old and len(old) > STALE_NAMED_MAX:
        yield DetectedProblem(AnomalyKind.DATA_STALE, WHOLE_MARKET, f"{len(old)} symbols without candles", covered=True)
    for symbol in old:
        yield DetectedProblem(
            AnomalyKind.DATA_STALE, symbol, _age_text(vitals, symbol, now_ms), covered=many or symbol not in reported
        )


def _refused(vitals: Liveness, now_ms: int) -> Iterator[DetectedProblem]:
    stands_ms = vitals.real_ms(REFUSED_STANDS_MS)
    for reason, refused in vitals.refused.items():
        if refused.count > REFUSED_AN_HOUR_MAX and now_ms - refused.recorded_at_ms < stands_ms:
            detail = f"{refused.count:,} times within an hour; latest: {refused.newest}"
            yield DetectedProblem(AnomalyKind.DATA_REFUSED, reason_words(reason), detail)


def _age_text(vitals: Liveness, symbol: str, now_ms: int) -> str:
    age, pulse = duration(vitals.candle_age_ms(symbol, now_ms)), vitals.newest.get(symbol)
    newest = "none so far" if pulse is None else f"the newest closed at {utc(pulse.closed_at_ms)} UTC"
    return f"no candle for {age}; {newest}"


def _silent(vitals: Liveness, now_ms: int, settings: WatchdogSettings) -> Iterator[DetectedProblem]:
    for name in vitals.strategies:
        timeframe_ms = vitals.timeframes_ms[name]
        limit_ms = max(_ms(settings.silent_strategy_s), vitals.real_ms(timeframe_ms) + _ms(settings.stale_s))
        silent_ms = vitals.unevaluated_ms(name, now_ms)
        if silent_ms < limit_ms:
            continue
        away = all(symbol in vitals.suspended for symbol in vitals.symbols_of(name))
        detail = f"no completed {duration(timeframe_ms)} candle for {duration(silent_ms)}"
        early = vitals.delivering_ms(now_ms) < limit_ms
        yield DetectedProblem(AnomalyKind.STRATEGY_SILENT, name, detail, covered=away or early)


def _no_progress(vitals: Liveness, now_ms: int, interval_s: float) -> Iterator[DetectedProblem]:
    limit_ms = progress_limit_ms(vitals, interval_s)
    idle_ms = vitals.without_candle_ms(now_ms)
    if idle_ms >= limit_ms:
        # While the feed is lost, another anomaly covers it, with hourly reminders.
        early = vitals.delivering_ms(now_ms) < limit_ms
        yield DetectedProblem(
            AnomalyKind.NO_PROGRESS, "engine", f"no candle of any symbol for {duration(idle_ms)}", covered=early
        )


def progress_limit_ms(vitals: Liveness, interval_s: float) -> int:
    """Return the time within which a candle must arrive: the heartbeat interval, or two candles of the market."""
    candle = vitals.last_candle
    return max(_ms(interval_s), 0 if candle is None else vitals.real_ms(STALE_CANDLES * candle.timeframe_ms))


def _skew(vitals: Liveness, measured: ProcessMeasurements, settings: WatchdogSettings) -> Iterator[DetectedProblem]:
    """Yield a skew that was measured, or that the feed reported itself."""
    skew_ms = measured.clock_skew_ms
    if skew_ms is None:
        claim = vitals.claims.get((AnomalyKind.CLOCK_SKEW.value, CLOCK))
        if claim is not None:
            yield DetectedProblem(AnomalyKind.CLOCK_SKEW, CLOCK, claim)
    elif abs(skew_ms) > settings.clock_skew_ms:
        side = "behind" if skew_ms > 0.0 else "ahead of"
        detail = f"{abs(skew_ms) / 1_000.0:.1f} s {side} the exchange's"
        yield DetectedProblem(AnomalyKind.CLOCK_SKEW, CLOCK, detail, renews=True)


# ---------------------------------------------------------------- the strategies


def _strategies_stopped(vitals: Liveness) -> Iterator[DetectedProblem]:
    trip = vitals.global_trip
    if trip:
        yield DetectedProblem(AnomalyKind.KILL_SWITCH_GLOBAL, "all strategies", trip)
    standings = {name: vitals.standing(name) for name in vitals.strategies}
    for name, standing in standings.items():
        if standing.state == "parked":
            yield DetectedProblem(AnomalyKind.STRATEGY_FAILED, name, standing.why)
    if standings and all(standing.state != "active" for standing in standings.values()):
        detail = "; ".join(f"{name}: {standing.why}" for name, standing in standings.items())
        yield DetectedProblem(AnomalyKind.ALL_STRATEGIES_STOPPED, "all strategies", detail, covered=bool(trip))


# ---------------------------------------------------------------- the process


def _process(measured: ProcessMeasurements, settings: WatchdogSettings) -> Iterator[DetectedProblem]:
    latency_ms, lag_ms = measured.commit_latency_ms, measured.loop_lag_ms
    if latency_ms is not None and latency_ms > settings.commit_latency_ms:
        detail = f"1 in 100 commits takes {latency_ms:,.0f} ms (limit {settings.commit_latency_ms:,.0f} ms)"
        yield DetectedProblem(AnomalyKind.COMMIT_SLOW, "log", detail, renews=True)
    free, of_log = measured.disk_free_bytes, LOGS_FREE_MIN * (measured.log_bytes or 0)
    least = max(settings.disk_free_warn_bytes, of_log)
    if free is not None and free < least:
        why = f": {LOGS_FREE_MIN} times the log's size, a backup needs twice" if least == of_log else ""
        detail = f"{free / GIGABYTE:.2f} GB free (limit {least / GIGABYTE:.2f} GB{why})"
        yield DetectedProblem(AnomalyKind.DISK_LOW, "disk", detail, renews=True)
    age_s = measured.oldest_alert_age_s
    if age_s is not None and age_s > settings.alert_queue_age_s:
        yield DetectedProblem(
            AnomalyKind.ALERTS_STUCK, "alerts", f"the oldest has been waiting for {duration(_ms(age_s))}"
        )
    if lag_ms is not None and lag_ms > settings.loop_lag_ms:
        detail = f"tasks ran {lag_ms:,.0f} ms late (limit {settings.loop_lag_ms:,.0f} ms)"
        yield DetectedProblem(AnomalyKind.LOOP_LAG, "event loop", detail, renews=True)
    backup_s, oldest_s = measured.backup_age_s, settings.backup_age_hours * 3_600.0
    if backup_s is not None and backup_s > oldest_s:
        detail = f"the newest backup is {duration(_ms(backup_s))} old (limit {duration(_ms(oldest_s))})"
        yield DetectedProblem(AnomalyKind.BACKUP_OLD, "backup", detail)
    for destination, failure in sorted((measured.backup_failures or {}).items()):
        yield DetectedProblem(AnomalyKind.BACKUP_FAILED, destination, failure)
    yield from _log_file(measured, settings)
    for name, behind in sorted((measured.projection_lag_events or {}).items()):
        if behind > settings.projection_lag_events:
            detail = f"{behind:,} events behind the log"
            yield DetectedProblem(AnomalyKind.PROJECTION_BEHIND, name, detail, renews=True)
    for task in (measured.dead_tasks or ())[:TASKS_NAMED_MAX]:
        yield DetectedProblem(AnomalyKind.TASK_DEAD, task, "this task has ended")


def _log_file(measured: ProcessMeasurements, settings: WatchdogSettings) -> Iterator[DetectedProblem]:
    blocked = measured.wal_blocked_bytes
    if blocked is not None and blocked > settings.wal_warn_bytes:
        users = f"; the log is open in {', '.join(measured.log_users)}" if measured.log_users else ""
        detail = f"a reader of an old state keeps {file_size(blocked)} of the log's -wal in use{users}"
        yield DetectedProblem(AnomalyKind.WAL_GROWING, "log", detail, renews=True)
    if measured.read_back_failure:
        yield DetectedProblem(
            AnomalyKind.LOG_NOT_READ_BACK, "log", f"cannot be read back: {measured.read_back_failure}"
        )


def _ms(seconds: float) -> int:
    return int(seconds * 1_000.0)
