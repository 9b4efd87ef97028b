"""How loud each kind of alert is, and the limits above which something is worth an alert."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from papertape.projections.alerts.alert import AlertKind, Loudness

FUNDING_PAID_USDT_MIN = 5.0


class AlertSettings(Struct, frozen=True):
    """`on` rings, `silent` arrives without a sound, `off` is never sent. Each key but the last is an `AlertKind`."""

    start: Annotated[Loudness, Meta(description="the engine started; after a crash it rings anyway")] = "silent"
    stop: Annotated[Loudness, Meta(description="the engine was stopped")] = "silent"
    entry: Annotated[Loudness, Meta(description="a position was opened")] = "on"
    part: Annotated[Loudness, Meta(description="a position was enlarged, or a part of it was closed")] = "silent"
    exit: Annotated[Loudness, Meta(description="a position was closed")] = "on"
    liquidation: Annotated[Loudness, Meta(description="a position was liquidated")] = "on"
    funding: Annotated[Loudness, Meta(description="funding of at least the amount below was paid")] = "silent"
    kill_switch: Annotated[Loudness, Meta(description="a kill switch tripped")] = "on"
    reset: Annotated[Loudness, Meta(description="a kill switch was reset")] = "on"
    pause: Annotated[Loudness, Meta(description="a strategy was paused or resumed")] = "silent"
    strategy: Annotated[Loudness, Meta(description="a strategy failed and was parked")] = "on"
    reload: Annotated[Loudness, Meta(description="a changed configuration was applied")] = "silent"
    feed: Annotated[Loudness, Meta(description="the feed was lost, or is back")] = "on"
    symbol: Annotated[Loudness, Meta(description="a symbol became untradable, or tradable again")] = "silent"
    anomaly: Annotated[Loudness, Meta(description="an anomaly was raised, is ongoing, or was cleared")] = "on"
    daily: Annotated[Loudness, Meta(description="the summary of a UTC day, sent at 00:05")] = "silent"
    fault: Annotated[Loudness, Meta(description="a fault stopped the engine")] = "on"
    funding_paid_usdt_min: Annotated[
        float, Meta(ge=0.0, le=1e9, description="smallest funding payment worth an alert", extra={"unit": "USDT"})
    ] = FUNDING_PAID_USDT_MIN

    def loudness(self, kind: AlertKind) -> Loudness:
        """Return how loud a kind is."""
        chosen: Loudness = getattr(self, kind.value)
        return chosen
