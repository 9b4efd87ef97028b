"""How the watchdog looks: how often, what it takes for wrong, and how often it says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from msgspec import Meta, Struct

from papertape.events.errors import ConfigError

INTERVAL_VARIABLE: Final = "HEARTBEAT_INTERVAL"
INTERVAL_S_MIN, INTERVAL_S_MAX = 60.0, 86_400.0


class WatchdogSettings(Struct, frozen=True):
    """The `[watchdog]` section."""

    every_s: Annotated[float, Meta(ge=1.0, le=3_600.0, description="it looks so often", extra={"unit": "s"})] = 30.0
    heartbeat_s: Annotated[
        float,
        Meta(
            ge=INTERVAL_S_MIN,
            le=INTERVAL_S_MAX,
            description="a sign of life so often; HEARTBEAT_INTERVAL in the environment comes first",
            extra={"unit": "s"},
        ),
    ] = 3_600.0
    stale_s: Annotated[
        float,
        Meta(
            ge=60.0,
            le=86_400.0,
            description="a symbol without a candle for longer is stale, or for two candles where those are longer",
            extra={"unit": "s"},
        ),
    ] = 300.0
    silent_strategy_s: Annotated[
        float,
        Meta(ge=60.0, le=604_800.0, description="a strategy not evaluated for longer is silent", extra={"unit": "s"}),
    ] = 3_600.0
    commit_latency_ms: Annotated[
        float,
        Meta(gt=0.0, le=60_000.0, description="99 of 100 commits take no longer", extra={"unit": "ms"}),
    ] = 1_000.0
    disk_free_warn_bytes: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 50,
            description="less free disk space than this, or than three times the log's size, is low",
            extra={"unit": "bytes"},
        ),
    ] = 1_000_000_000
    wal_warn_bytes: Annotated[
        int,
        Meta(
            ge=8_000_000,
            le=1 << 50,
            description="most bytes of the log's -wal that a reader of an old state may keep in use",
            extra={"unit": "bytes"},
        ),
    ] = 8_000_000
    clock_skew_ms: Annotated[
        float,
        Meta(gt=0.0, le=600_000.0, description="this machine's clock against the exchange's", extra={"unit": "ms"}),
    ] = 2_000.0
    alert_queue_age_s: Annotated[
        float,
        Meta(ge=1.0, le=604_800.0, description="an alert unsent for longer is stuck", extra={"unit": "s"}),
    ] = 600.0
    projection_lag_events: Annotated[
        int,
        Meta(ge=1, le=1_000_000_000, description="a view further behind the log is behind", extra={"unit": "events"}),
    ] = 100_000
    loop_lag_ms: Annotated[
        float,
        Meta(gt=0.0, le=60_000.0, description="what is due begins so much later at most", extra={"unit": "ms"}),
    ] = 1_000.0
    backup_age_hours: Annotated[
        float,
        Meta(gt=0.0, le=8_760.0, description="the newest of the engine's backups is no older", extra={"unit": "h"}),
    ] = 26.0
    cooldown_s: Annotated[
        float,
        Meta(ge=0.0, le=86_400.0, description="the same is not raised again so soon", extra={"unit": "s"}),
    ] = 300.0
    reminder_s: Annotated[
        float,
        Meta(ge=60.0, le=604_800.0, description="what lasts is told again so often", extra={"unit": "s"}),
    ] = 3_600.0
    calm_s: Annotated[
        float,
        Meta(
            ge=0.0,
            le=86_400.0,
            description="over when it was good for so long; thrice as long each time it comes back within a reminder",
            extra={"unit": "s"},
        ),
    ] = 300.0


def heartbeat_s(settings: WatchdogSettings, variables: Mapping[str, str]) -> float:
    """The heartbeat's interval in seconds: that of the environment, else that of the configuration.

    Raises ConfigError for one that is not a number from 60 to 86400.
    """
    given = variables.get(INTERVAL_VARIABLE, "").strip()
    if not given:
        return settings.heartbeat_s
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not INTERVAL_S_MIN <= seconds <= INTERVAL_S_MAX:
        raise ConfigError(f"{INTERVAL_VARIABLE} = {given[:40]}: must be {INTERVAL_S_MIN:g} to {INTERVAL_S_MAX:g} s")
    return seconds
