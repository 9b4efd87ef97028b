"""Marks for a course over time: kills and resets, changed configurations, outages of the feed and of the engine.

Everything stands at market time, as the course does; operational facts carry the machine's clock, so they are put
where the market stood when they were recorded.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Literal

from msgspec import Struct, structs

from papertape.events.facts import (
    EngineStarted,
    FeedConnected,
    FeedLost,
    GapFilled,
    GapFound,
    KillSwitchReset,
    KillSwitchTripped,
    RunnerConfigured,
)
from papertape.projections.text.reasons import trip_words

if TYPE_CHECKING:
    from papertape.events.log import Recorded
    from papertape.projections.folds.portfolio import Portfolio

MARKS_KEPT_MAX = 1_000
Kind = Literal["kill", "reset", "configuration", "outage", "hole", "start"]


class EquityMarker(Struct, frozen=True):
    """Something that happened at `at_ms`, or lasted until `until_ms`; of an outage that goes on `until_ms` is 0."""

    seq: int
    kind: Kind
    subject: str
    at_ms: int
    until_ms: int
    text: str


class FeedRepairs(Struct, frozen=True):
    """What the feed went through: how often it was lost, and which holes were found and healed since the log began."""

    losses: int = 0
    holes_found: int = 0
    candles_missing: int = 0
    holes_healed: int = 0
    candles_healed: int = 0


class EquityMarkers:
    """Fold of the newest marks, over a portfolio that its owner folds before this."""

    def __init__(self, portfolio: Portfolio) -> None:
        self.repairs = FeedRepairs()
        self._portfolio = portfolio
        self._marks: deque[EquityMarker] = deque(maxlen=MARKS_KEPT_MAX)
        self._outage: EquityMarker | None = None
        self._digest = ""

    def views(self) -> tuple[EquityMarker, ...]:
        """The newest marks, oldest first; an outage that goes on comes last."""
        return tuple(self._marks) if self._outage is None else (*self._marks, self._outage)

    def apply(self, recorded: Recorded) -> None:
        """Take one event."""
        event = recorded.event
        match event:
            case KillSwitchTripped():
                self._put(recorded.seq, "kill", event.scope, trip_words(event))
            case KillSwitchReset():
                self._put(recorded.seq, "reset", event.scope, f"reset by {event.who}: {event.why}")
            case RunnerConfigured():
                self._put(recorded.seq, "configuration", event.strategy, f"{event.strategy} configured")
            case EngineStarted():
                self._start(event, recorded.seq)
            case FeedLost() | FeedConnected():
                self._feed(event, recorded.seq)
            case GapFound() | GapFilled():
                self._hole(event, recorded.seq)
            case _:
                pass

    def _put(self, seq: int, kind: Kind, subject: str, text: str) -> None:
        at_ms = self._portfolio.at_ms
        self._marks.append(EquityMarker(seq, kind, subject, at_ms, at_ms, text))

    def _start(self, event: EngineStarted, seq: int) -> None:
        changed = " with a changed configuration" if self._digest not in ("", event.config_digest) else ""
        self._digest = event.config_digest
        self._put(seq, "start", "engine", f"engine {event.version} started{changed}")

    def _feed(self, event: FeedLost | FeedConnected, seq: int) -> None:
        if isinstance(event, FeedLost):
            if self._outage is None:
                self._outage = EquityMarker(seq, "outage", event.feed, self._portfolio.at_ms, 0, event.reason)
                self.repairs = structs.replace(self.repairs, losses=self.repairs.losses + 1)
        elif self._outage is not None:
            self._marks.append(structs.replace(self._outage, until_ms=max(event.at_ms, self._outage.at_ms)))
            self._outage = None

    def _hole(self, event: GapFound | GapFilled, seq: int) -> None:
        past = self.repairs
        if isinstance(event, GapFound):
            text = f"{event.missing_candles} candles are missing"
            self.repairs = structs.replace(
                past,
                holes_found=past.holes_found + 1,
                candles_missing=past.candles_missing + event.missing_candles,
            )
        else:
            text = f"{event.candles} candles came late"
            self.repairs = structs.replace(
                past, holes_healed=past.holes_healed + 1, candles_healed=past.candles_healed + event.candles
            )
        self._marks.append(EquityMarker(seq, "hole", event.symbol, event.from_ms, event.until_ms, text))
