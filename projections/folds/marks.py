"""Markers for equity curves: trips and resets, changed configurations, outages of the feed, gaps and engine starts.

Every marker is placed in market time, like the curve. Operational events carry wall-clock time, so they are placed at
the market time at which they were recorded.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Literal

from msgspec import Struct, structs

from papertape.events.facts import (
    ConfigurationReloaded,
    EngineStarted,
    FeedConnected,
    FeedLost,
    GapFilled,
    GapFound,
    KillSwitchReset,
    KillSwitchTripped,
    RunnerConfigured,
)
from papertape.projections.folds.epochs import configuration_changes
from papertape.projections.text.reasons import trip_words

if TYPE_CHECKING:
    from papertape.events.log import Recorded
    from papertape.projections.folds.portfolio import Portfolio

MARKERS_MAX = 1_000
Kind = Literal["kill", "reset", "configuration", "outage", "hole", "start"]


class EquityMarker(Struct, frozen=True):
    """An event at `at_ms`, or a span from `at_ms` to `until_ms`; `until_ms` is 0 for a continuing outage."""

    seq: int
    kind: Kind
    subject: str
    at_ms: int
    until_ms: int
    text: str


class FeedRepairs(Struct, frozen=True):
    """How often the feed was lost, and how many gaps were found and filled since the log began."""

    losses: int = 0
    holes_found: int = 0
    candles_missing: int = 0
    holes_healed: int = 0
    candles_healed: int = 0


class EquityMarkers:
    """Fold of the newest markers, on top of a portfolio that its owner folds first."""

    def __init__(self, portfolio: Portfolio) -> None:
        self.repairs = FeedRepairs()
        self._portfolio = portfolio
        self._markers: deque[EquityMarker] = deque(maxlen=MARKERS_MAX)
        self._outage: EquityMarker | None = None
        self._configured: dict[str, RunnerConfigured] = {}
        self._digest = ""

    def views(self) -> tuple[EquityMarker, ...]:
        """Return the newest markers, oldest first; a continuing outage comes last."""
        return tuple(self._markers) if self._outage is None else (*self._markers, self._outage)

    def apply(self, recorded: Recorded) -> None:
        """Fold one event."""
        event = recorded.event
        match event:
            case KillSwitchTripped():
                self._put(recorded.seq, "kill", event.scope, trip_words(event))
            case KillSwitchReset():
                self._put(recorded.seq, "reset", event.scope, f"reset by {event.who}: {event.why}")
            case RunnerConfigured():
                self._mark_configuration(event, recorded.seq)
            case EngineStarted():
                self._mark_start(event, recorded.seq)
            case ConfigurationReloaded():
                self._digest = event.config_digest
                self._put(
                    recorded.seq, "configuration", "engine", f"configuration reloaded by {event.who}: {event.why}"
                )
            case FeedLost() | FeedConnected():
                self._mark_feed(event, recorded.seq)
            case GapFound() | GapFilled():
                self._mark_gap(event, recorded.seq)
            case _:
                pass

    def _put(self, seq: int, kind: Kind, subject: str, text: str) -> None:
        at_ms = self._portfolio.at_ms
        self._markers.append(EquityMarker(seq, kind, subject, at_ms, at_ms, text))

    def _mark_configuration(self, event: RunnerConfigured, seq: int) -> None:
        before = self._configured.get(event.strategy)
        self._configured[event.strategy] = event
        changes = "" if before is None else configuration_changes(before, event)
        text = f"{event.strategy}: {changes}" if changes else f"{event.strategy} configured"
        self._put(seq, "configuration", event.strategy, text)

    def _mark_start(self, event: EngineStarted, seq: int) -> None:
        changed = " with a changed configuration" if self._digest not in ("", event.config_digest) else ""
        self._digest = event.config_digest
        self._put(seq, "start", "engine", f"engine {event.version} started{changed}")

    def _mark_feed(self, event: FeedLost | FeedConnected, seq: int) -> None:
        if isinstance(event, FeedLost):
            if self._outage is None:
                self._outage = EquityMarker(seq, "outage", event.feed, self._portfolio.at_ms, 0, event.reason)
                self.repairs = structs.replace(self.repairs, losses=self.repairs.losses + 1)
        elif self._outage is not None:
            self._markers.append(structs.replace(self._outage, until_ms=max(event.at_ms, self._outage.at_ms)))
            self._outage = None

    def _mark_gap(self, event: GapFound | GapFilled, seq: int) -> None:
        repairs = self.repairs
        if isinstance(event, GapFound):
            text = f"{event.missing_candles} candles are missing"
            self.repairs = structs.replace(
                repairs,
                holes_found=repairs.holes_found + 1,
                candles_missing=repairs.candles_missing + event.missing_candles,
            )
        else:
            text = f"{event.candles} {'candle' if event.candles == 1 else 'candles'} came late"
            self.repairs = structs.replace(
                repairs, holes_healed=repairs.holes_healed + 1, candles_healed=repairs.candles_healed + event.candles
            )
        self._markers.append(EquityMarker(seq, "hole", event.symbol, event.from_ms, event.until_ms, text))
