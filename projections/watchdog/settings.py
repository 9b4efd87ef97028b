"""The watchdog's settings: how often it checks, what it considers wrong, and how often it reports that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from msgspec import Meta, Struct

from papertape.events.errors import ConfigError

INTERVAL_VARIABLE: Final = "HEARTBEAT_INTERVAL"
INTERVAL_S_MIN, INTERVAL_S_MAX = 60.0, 86_400.0


class WatchdogSettings(Struct, frozen=True):
    """The `[watchdog]` section."""

    every_s: Annotated[float, Meta(ge=1.0, le=3_600.0, description="time between two checks", extra={"unit": "s"})] = (
        30.0
    )
    heartbeat_s: Annotated[
        float,
        Meta(
            ge=INTERVAL_S_MIN,
            le=INTERVAL_S_MAX,
            description="time between two heartbeats; HEARTBEAT_INTERVAL in the environment takes precedence",
            extra={"unit": "s"},
        ),
    ] = 3_600.0
    stale_s: Annotated[
        float,
        Meta(
            ge=60.0,
            le=86_400.0,
            description="a symbol is stale after this time without a candle, or after two candles if those are longer",
            extra={"unit": "s"},
        ),
    ] = 300.0
    silent_strategy_s: Annotated[
        float,
        Meta(
            ge=60.0,
            le=604_800.0,
            description="a strategy is silent after this time without an evaluation",
            extra={"unit": "s"},
        ),
    ] = 3_600.0
    commit_latency_ms: Annotated[
        float,
        Meta(gt=0.0, le=60_000.0, description="limit for 99 of 100 commits", extra={"unit": "ms"}),
    ] = 1_000.0
    disk_free_warn_bytes: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 50,
            description="smallest free disk space; three times the log's size if that is more",
            extra={"unit": "bytes"},
        ),
    ] = 1_000_000_000
    wal_warn_bytes: Annotated[
        int,
        Meta(
            ge=8_000_000,
            le=1 << 50,
            description="largest part of the log's -wal that a reader of an old state may keep in use",
            extra={"unit": "bytes"},
        ),
    ] = 8_000_000
    clock_skew_ms: Annotated[
        float,
        Meta(
            gt=0.0,
            le=600_000.0,
            description="largest difference between this machine's clock and the exchange's",
            extra={"unit": "ms"},
        ),
    ] = 2_000.0
    alert_queue_age_s: Annotated[
        float,
        Meta(ge=1.0, le=604_800.0, description="an alert is stuck after waiting this long", extra={"unit": "s"}),
    ] = 600.0
    projection_lag_events: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000_000,
            description="largest distance of a view from the log's head",
            extra={"unit": "events"},
        ),
    ] = 100_000
    loop_lag_ms: Annotated[
        float,
        Meta(gt=0.0, le=60_000.0, description="largest delay of a task that is due", extra={"unit": "ms"}),
    ] = 1_000.0
    backup_age_hours: Annotated[
        float,
        Meta(gt=0.0, le=8_760.0, description="maximum age of the engine's newest backup", extra={"unit": "h"}),
    ] = 26.0
    cooldown_s: Annotated[
        float,
        Meta(
            ge=0.0,
            le=86_400.0,
            description="shortest time until a cleared anomaly is raised again",
            extra={"unit": "s"},
        ),
    ] = 300.0
    reminder_s: Annotated[
        float,
        Meta(
            ge=60.0, le=604_800.0, description="time between two reminders of an ongoing anomaly", extra={"unit": "s"}
        ),
    ] = 3_600.0
    calm_s: Annotated[
        float,
        Meta(
            ge=0.0,
            le=86_400.0,
            description="calm period until an anomaly is cleared; tripled each time it returns within a reminder",
            extra={"unit": "s"},
        ),
    ] = 300.0


def heartbeat_s(settings: WatchdogSettings, variables: Mapping[str, str]) -> float:
    """Return the heartbeat's interval in seconds: from the environment, else from the configuration.

    Raises ConfigError for a value that is not a number from 60 to 86400.
    """
    text = variables.get(INTERVAL_VARIABLE, "").strip()
    if not text:
        return settings.heartbeat_s
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not INTERVAL_S_MIN <= seconds <= INTERVAL_S_MAX:
        raise ConfigError(f"{INTERVAL_VARIABLE} = {text[:40]}: must be {INTERVAL_S_MIN:g} to {INTERVAL_S_MAX:g} s")
    return seconds
