"""Kill switches, pauses and failures: whether a strategy may open positions, and why not.

An active global trip blocks every strategy, including a new one and one whose own trip was reset. Resetting it releases
the strategies without a trip of their own. A reset names the trip it ends; a reset that names another trip has no
effect.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Literal

from msgspec import Struct, structs

from papertape.events.facts import (
    CONFIGURATION,
    GLOBAL_SCOPE,
    KillSwitchReset,
    KillSwitchTripped,
    RunnerPaused,
    RunnerResumed,
    StrategyFailed,
)
from papertape.projections.text.reasons import failure_words, pause_words, trip_words

if TYPE_CHECKING:
    from papertape.events.log import Recorded

State = Literal["active", "stopped", "parked", "paused"]
PAST_TRIPS_MAX = 1_000


class TripView(Struct, frozen=True):
    """One trip of a kill switch and its end. A reset must name `trip_seq`; `reset_at_ms` is 0 until the reset."""

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


class EntryPermission(Struct, frozen=True):
    """Whether a strategy may open positions: its state, the reason, and the trip that stops it."""

    state: State
    why: str
    trip: TripView | None


ACTIVE = EntryPermission("active", "", None)


class KillSwitches:
    """Fold of trips, resets, pauses, failures and resumptions."""

    def __init__(self) -> None:
        self.global_trip: TripView | None = None
        self._own: dict[str, TripView] = {}
        self._paused: dict[str, str] = {}
        self._parked: dict[str, str] = {}
        self._past: deque[TripView] = deque(maxlen=PAST_TRIPS_MAX)
        self._resets: dict[str, int] = {}

    def apply(self, recorded: Recorded) -> None:
        """Fold one event."""
        event = recorded.event
        match event:
            case KillSwitchTripped():
                self._trip(event, recorded.seq)
            case KillSwitchReset():
                self._reset(event)
            case RunnerPaused():
                self._paused[event.strategy] = pause_words(event)
            case RunnerResumed():
                self._paused.pop(event.strategy, None)
                if event.who != CONFIGURATION:
                    self._parked.pop(event.strategy, None)
            case StrategyFailed():
                self._parked[event.strategy] = failure_words(event)
            case _:
                pass

    def standing(self, strategy: str) -> EntryPermission:
        """Return whether a strategy may open positions. A trip takes precedence over a failure, that over a pause."""
        trip = self._own.get(strategy, self.global_trip)
        if trip is not None:
            return EntryPermission("stopped", trip.why, trip)
        if strategy in self._parked:
            return EntryPermission("parked", self._parked[strategy], None)
        if strategy in self._paused:
            return EntryPermission("paused", self._paused[strategy], None)
        return ACTIVE

    def active_trips(self) -> tuple[TripView, ...]:
        """Return the active trips: the global one first, then in the order in which they tripped."""
        own = tuple(self._own.values())
        return (self.global_trip, *own) if self.global_trip is not None else own

    def past_trips(self) -> tuple[TripView, ...]:
        """Return the most recently reset trips, oldest first."""
        return tuple(self._past)

    def trips_of(self, strategy: str) -> tuple[TripView, ...]:
        """Return the trips that stopped one strategy, the global ones included, oldest first."""
        trips = (trip for trip in (*self._past, *self.active_trips()) if trip.scope in (strategy, GLOBAL_SCOPE))
        return tuple(sorted(trips, key=lambda trip: (trip.tripped_at_ms, trip.trip_seq)))

    def resets_of(self, strategy: str) -> int:
        """Return how many of a strategy's trips were reset, the global ones included."""
        return self._resets.get(strategy, 0) + self._resets.get(GLOBAL_SCOPE, 0)

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
        else:
            self.global_trip = trip

    def _reset(self, event: KillSwitchReset) -> None:
        trip = self.global_trip if event.scope == GLOBAL_SCOPE else self._own.get(event.scope)
        if trip is None or trip.trip_seq != event.trip_seq:
            return
        self._resets[event.scope] = self._resets.get(event.scope, 0) + 1
        self._past.append(structs.replace(trip, reset_at_ms=event.at_ms, reset_who=event.who, reset_why=event.why))
        if event.scope == GLOBAL_SCOPE:
            self.global_trip = None
        else:
            del self._own[event.scope]
