"""The engine's liveness in the log: the feed, each symbol's newest candle, how often strategies are evaluated.

Ages are measured from a candle's commit, on a timeline that does not jump with the machine's clock: market time may run
faster or slower than that clock, or in another year.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.events.facts import (
    AnomalyCleared,
    AnomalyRaised,
    CandleClosed,
    ContractDelisted,
    DataRefused,
    EngineStarted,
    FeedConnected,
    FeedLost,
    RunnerConfigured,
    SymbolResumed,
    SymbolSuspended,
    Timing,
)
from papertape.events.units import HOUR_MS
from papertape.projections.folds.kill_switches import KillSwitches

if TYPE_CHECKING:
    from collections.abc import Mapping

    from papertape.events.log import Recorded
    from papertape.projections.folds.kill_switches import EntryPermission

BUCKET_MS = 10_000
"""Evaluations are counted in buckets: an hour of a market at any pace is a few hundred numbers."""
CLAIMS_MAX = 100
REASONS_MAX = 100


class CandleArrival(Struct, frozen=True):
    """A symbol's newest candle: when it closed in market time, when it was recorded, and its length."""

    closed_at_ms: int
    recorded_at_ms: int
    timeframe_ms: int


class FeedState(Struct, frozen=True):
    """What the feed last reported since the engine started."""

    name: str
    delivers: bool
    since_ms: int
    why: str


class RefusalSummary(Struct, frozen=True):
    """What the feed last reported about refused data: how often, the latest example, and when it was recorded."""

    count: int
    newest: str
    recorded_at_ms: int


class Evaluations:
    """How often a strategy was evaluated within the last hour, and when last."""

    def __init__(self) -> None:
        self.newest_ms = 0
        self._buckets: deque[tuple[int, int]] = deque(maxlen=HOUR_MS // BUCKET_MS + 1)

    def count(self, recorded_at_ms: int) -> None:
        """Count one evaluation."""
        self.newest_ms = max(self.newest_ms, recorded_at_ms)
        bucket, before = recorded_at_ms // BUCKET_MS, 0
        if self._buckets and self._buckets[-1][0] == bucket:
            before = self._buckets.pop()[1]
        self._buckets.append((bucket, before + 1))

    def within_the_hour(self, now_ms: int) -> int:
        """Return the number of evaluations in the hour that ends now."""
        return sum(count for bucket, count in self._buckets if (bucket + 1) * BUCKET_MS > now_ms - HOUR_MS)


class Liveness:
    """Fold of everything that the watchdog and the heartbeat check.

    `timeframes_ms` are the running strategies, with the timeframe on whose close each is evaluated.
    """

    def __init__(self, timeframes_ms: Mapping[str, int]) -> None:
        self.timeframes_ms = dict(timeframes_ms)
        self.seq = 0
        self.recorded_at_ms = 0
        self.started_at_ms = 0
        self.feed: FeedState | None = None
        self.speed = 1.0
        self.newest: dict[str, CandleArrival] = {}
        self.last_candle: CandleArrival | None = None
        self.candles = 0
        self.suspended: dict[str, str] = {}
        self.claims: dict[tuple[str, str], str] = {}
        """Anomalies open since the engine started, with their details, including those that the feed raises itself."""
        self.refused: dict[str, RefusalSummary] = {}
        self._resumed_at_ms: dict[str, int] = {}
        self._symbols: dict[str, tuple[str, ...]] = {}
        self._evaluated: dict[str, Evaluations] = {}
        self._due: dict[str, list[tuple[int, Evaluations]]] = {}
        self._switches = KillSwitches()

    # ------------------------------------------------------------ queries

    @property
    def strategies(self) -> tuple[str, ...]:
        """The running strategies, as configured."""
        return tuple(self._symbols)

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols traded by any strategy."""
        return tuple(self._due)

    def symbols_of(self, strategy: str) -> tuple[str, ...]:
        """Return the symbols that a strategy trades."""
        return self._symbols[strategy]

    def standing(self, strategy: str) -> EntryPermission:
        """Return whether a strategy may open positions, and why not."""
        return self._switches.standing(strategy)

    @property
    def global_trip(self) -> str:
        """Why the global kill switch is tripped; empty when it is not."""
        trip = self._switches.global_trip
        return "" if trip is None else trip.why

    def candle_age_ms(self, symbol: str, now_ms: int) -> int:
        """Return how long ago the symbol's newest candle was recorded."""
        newest = self.newest.get(symbol)
        return now_ms - (self.started_at_ms if newest is None else newest.recorded_at_ms)

    def waited_ms(self, symbol: str, now_ms: int) -> int:
        """Return how long a candle is overdue, without absences of the engine, the feed or the symbol."""
        resumed_ms = now_ms - self._resumed_at_ms.get(symbol, 0)
        return min(self.candle_age_ms(symbol, now_ms), resumed_ms, self.delivering_ms(now_ms))

    def delivering_ms(self, now_ms: int) -> int:
        """Return how long the feed has been delivering in this process; 0 while it is down."""
        feed = self.feed
        return min(self.up_ms(now_ms), now_ms - feed.since_ms) if feed is not None and feed.delivers else 0

    def unevaluated_ms(self, strategy: str, now_ms: int) -> int:
        """Return how long ago a strategy was last evaluated, counted from the engine's start if never."""
        return now_ms - (self._evaluated[strategy].newest_ms or self.started_at_ms)

    def evaluations(self, strategy: str, now_ms: int) -> int:
        """Return how often a strategy was evaluated within the last hour."""
        return self._evaluated[strategy].within_the_hour(now_ms)

    def without_candle_ms(self, now_ms: int) -> int:
        """Return how long no symbol at all has had a candle."""
        return now_ms - (self.started_at_ms if self.last_candle is None else self.last_candle.recorded_at_ms)

    def up_ms(self, now_ms: int) -> int:
        """Return how long the engine has been running."""
        return now_ms - self.started_at_ms

    def real_ms(self, market_ms: int) -> int:
        """Return how long a span of market time takes on this machine's clock."""
        return int(market_ms / self.speed) if self.speed > 0.0 else 0

    # ------------------------------------------------------------ the fold

    def apply(self, recorded: Recorded) -> None:
        """Apply one event."""
        self.seq, self.recorded_at_ms = recorded.seq, recorded.recorded_at_ms
        event = recorded.event
        match event:
            case CandleClosed():
                self._candle(event, recorded.recorded_at_ms)
            case EngineStarted():
                self.started_at_ms, self.feed = recorded.recorded_at_ms, None
                self.claims.clear()
                self.refused.clear()
            case FeedConnected():
                self.feed, self.speed = self._feed_state(event.feed, recorded.recorded_at_ms), event.speed
            case FeedLost():
                self.feed = self._feed_state(event.feed, recorded.recorded_at_ms, event.reason, delivers=False)
            case SymbolSuspended() | ContractDelisted():
                self.suspended[event.symbol] = event.reason
            case SymbolResumed():
                self.suspended.pop(event.symbol, None)
                self._resumed_at_ms[event.symbol] = recorded.recorded_at_ms
            case DataRefused() if event.reason in self.refused or len(self.refused) < REASONS_MAX:
                self.refused[event.reason] = RefusalSummary(event.count, event.newest, recorded.recorded_at_ms)
            case RunnerConfigured():
                self._configure(event)
            case AnomalyRaised():
                self._claim(event)
            case AnomalyCleared():
                self.claims.pop((event.kind, event.subject), None)
            case _:
                self._switches.apply(recorded)

    def _candle(self, event: CandleClosed, recorded_at_ms: int) -> None:
        self.candles += 1
        self.last_candle = CandleArrival(event.at_ms, recorded_at_ms, event.timeframe_ms)
        self.newest[event.symbol] = self.last_candle
        if event.timing is Timing.WARM_UP:
            return
        for timeframe_ms, evaluations in self._due.get(event.symbol, ()):
            if event.at_ms % timeframe_ms == 0:
                evaluations.count(recorded_at_ms)

    def _feed_state(self, name: str, recorded_at_ms: int, why: str = "", *, delivers: bool = True) -> FeedState:
        """Return the feed's state; it keeps its start time if the feed only repeats itself."""
        before = self.feed
        since_ms = before.since_ms if before is not None and before.delivers is delivers else recorded_at_ms
        return FeedState(name, delivers, since_ms, why)

    def _configure(self, event: RunnerConfigured) -> None:
        if event.strategy not in self.timeframes_ms:
            return
        self._symbols[event.strategy] = event.symbols
        self._evaluated.setdefault(event.strategy, Evaluations())
        self._due = {}
        for name, symbols in self._symbols.items():
            for symbol in symbols:
                self._due.setdefault(symbol, []).append((self.timeframes_ms[name], self._evaluated[name]))

    def _claim(self, event: AnomalyRaised) -> None:
        if len(self.claims) < CLAIMS_MAX:
            self.claims[event.kind, event.subject] = event.detail
