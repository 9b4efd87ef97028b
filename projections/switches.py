"""Kill switches and pauses: who may open positions, and why not.

A global trip stops every strategy that was not already tripped, and resetting it frees only those; a
strategy's own trip survives the global one. A reset names the trip it ends; one that names another changes
nothing.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Literal

from msgspec import Struct, structs

from events.facts import GLOBAL_SCOPE, KillSwitchReset, KillSwitchTripped, RunnerConfigured, RunnerPaused, RunnerResumed
from projections.reasons import pause_words, trip_words

if TYPE_CHECKING:
    from events.log import Recorded

State = Literal["active", "stopped", "paused"]
TRIPS_KEPT_MAX = 200


class TripView(Struct, frozen=True):
    """One trip of a kill switch, and how it ended. `trip_seq` is what a reset must name; 0 ms: not reset."""

    scope: str
    trip_seq: int
    tripped_at_ms: int
    reason: str
    base_usdt: float
    peak_usdt: float
    equity_usdt: float
    threshold_percent: float
    why: str
    reset_at_ms: int = 0
    reset_who: str = ""
    reset_why: str = ""


class Standing(Struct, frozen=True):
    """Whether a strategy may open positions: its state, why not, and the trip that stops it."""

    state: State
    why: str
    trip: TripView | None


ACTIVE = Standing("active", "", None)


class Switches:
    """Fold of trips, resets, pauses and resumptions."""

    def __init__(self) -> None:
        self.global_trip: TripView | None = None
        self._own: dict[str, TripView | None] = {}
        self._paused: dict[str, str] = {}
        self._past: deque[TripView] = deque(maxlen=TRIPS_KEPT_MAX)

    def apply(self, recorded: Recorded) -> None:
        """Take one event."""
        event = recorded.event
        match event:
            case RunnerConfigured():
                self._own.setdefault(event.strategy, None)
            case KillSwitchTripped():
                self._trip(event, recorded.seq)
            case KillSwitchReset():
                self._reset(event)
            case RunnerPaused():
                self._paused[event.strategy] = pause_words(event)
            case RunnerResumed():
                self._paused.pop(event.strategy, None)
            case _:
                pass

    def standing(self, strategy: str) -> Standing:
        """Whether a strategy may open positions. A trip is named before a pause."""
        trip = self._own.get(strategy)
        if trip is not None:
            return Standing("stopped", trip.why, trip)
        if strategy in self._paused:
            return Standing("paused", self._paused[strategy], None)
        return ACTIVE

    def active(self) -> tuple[TripView, ...]:
        """The trips that stop somebody now, the global one first, then by strategy as configured."""
        own = [trip for trip in self._own.values() if trip is not None and trip.scope != GLOBAL_SCOPE]
        return (self.global_trip, *own) if self.global_trip is not None else tuple(own)

    def past(self) -> tuple[TripView, ...]:
        """The last trips that were reset, oldest first."""
        return tuple(self._past)

    def _trip(self, event: KillSwitchTripped, seq: int) -> None:
        trip = TripView(
            scope=event.scope,
            trip_seq=seq,
            tripped_at_ms=event.at_ms,
            reason=event.reason,
            base_usdt=event.base_usdt,
            peak_usdt=event.peak_usdt,
            equity_usdt=event.equity_usdt,
            threshold_percent=event.threshold_percent,
            why=trip_words(event),
        )
        if event.scope != GLOBAL_SCOPE:
            self._own[event.scope] = trip
            return
        self.global_trip = trip
        self._own = {strategy: own or trip for strategy, own in self._own.items()}

    def _reset(self, event: KillSwitchReset) -> None:
        trip = self.global_trip if event.scope == GLOBAL_SCOPE else self._own.get(event.scope)
        if trip is None or trip.trip_seq != event.trip_seq:
            return
        self._past.append(
            structs.replace(trip, reset_at_ms=event.at_ms, reset_who=event.who, reset_why=event.why),
        )
        if event.scope != GLOBAL_SCOPE:
            self._own[event.scope] = None
            return
        self.global_trip = None
        freed = {s: None for s, own in self._own.items() if own is not None and own.trip_seq == event.trip_seq}
        self._own.update(freed)
