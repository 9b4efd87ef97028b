"""Feed outages: one message for the loss and one for the recovery, however many events they take.

They are derived from the log alone. Late candles are counted as they arrive, so one message covers the gaps of all
symbols. The feed is back

- at `FeedConnected` if no candle is missing: a feed that catches up first connects last;
- otherwise with the first candle on time after it: a feed that connects first fills the gap next.

An absence of the engine that left late candles behind is reported the same way. A feed that is lost again within
`UNSTEADY_MS` of its recovery is unstable; it is reported as back only after it has been stable for as long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.events.facts import CandleClosed, EngineStarted, FeedConnected, FeedLost, GapFound, Timing

if TYPE_CHECKING:
    from papertape.events.facts import Event
    from papertape.projections.market_run import MarketRun

UNSTEADY_MS = 900_000
_LATE, _ON_TIME = Timing.LATE, Timing.ON_TIME


class FeedOutage(Struct, frozen=True):
    """The feed was lost. `back_for_ms` is how long it had been back if it was lost again soon, else 0."""

    feed: str
    why: str
    back_for_ms: int = 0


class FeedRecovery(Struct, frozen=True):
    """The feed is back, or the engine has caught up (`absence`).

    The gap reaches from `from_ms` to `until_ms` in market time; `candles` of `symbols` symbols came late, `missing`
    never arrived. `losses` counts how often the feed was lost; `steady_ms` is how long it has been stable, 0 if not
    required.
    """

    feed: str
    from_ms: int
    until_ms: int
    candles: int
    symbols: int
    missing: int
    losses: int
    absence: bool
    steady_ms: int = 0


class PendingGap(Struct):
    """A gap whose recovery is not reported yet. `connected_ms` is -1 while the feed is down."""

    from_ms: int
    absence: bool
    connected_ms: int = -1
    losses: int = 0
    missing: int = 0
    back_for_ms: int = 0


class FeedOutageTracker:
    """Fold of feed outages; `news` is what the last event made worth reporting."""

    def __init__(self) -> None:
        self.news: FeedOutage | FeedRecovery | None = None
        self._gap: PendingGap | None = None
        self._late: dict[str, int] = {}
        self._feed = ""
        self._newest_ms = 0
        self._timeframe_ms = 0
        self._back_ms = -UNSTEADY_MS

    def apply(self, event: Event) -> None:
        """Apply one event."""
        if type(event) is CandleClosed:
            self.take_candle(event)
            return
        self.news = None
        match event:
            case FeedLost():
                self._lose(event)
            case FeedConnected():
                self._connect(event)
            case EngineStarted() if self._newest_ms or self._gap is not None:
                # Before the first candle no absence can be measured.
                self._open(self._newest_ms, absence=True).connected_ms = -1
            case GapFound() if self._gap is not None:
                self._gap.missing += event.missing_candles
            case _:
                pass

    def take_candle(self, candle: CandleClosed) -> None:
        """Apply a candle: the fast path, because most events are candles and most change nothing here."""
        self.news = None
        if candle.at_ms > self._newest_ms:  # noqa: PLR1730 - `max` takes three times as long.
            self._newest_ms = candle.at_ms
        self._timeframe_ms = candle.timeframe_ms
        if self._gap is not None:
            self._apply_to(self._gap, candle)

    @property
    def is_silent(self) -> bool:
        """Whether no candle can make news now."""
        return self._gap is None

    def take_run(self, run: MarketRun) -> None:
        """Apply a calm run while this is silent."""
        self.news = None
        if run.candles:
            self._newest_ms, self._timeframe_ms = run.at_ms[-1], run.candles[-1].timeframe_ms

    def _apply_to(self, gap: PendingGap, candle: CandleClosed) -> None:
        if candle.timing is _LATE:
            self._late[candle.symbol] = self._late.get(candle.symbol, 0) + 1
        elif candle.timing is _ON_TIME and gap.connected_ms >= 0:
            self._close(gap, candle.at_ms)

    def _open(self, from_ms: int, *, absence: bool) -> PendingGap:
        if self._gap is None:
            self._gap = PendingGap(from_ms, absence)
        return self._gap

    def _lose(self, event: FeedLost) -> None:
        self._feed = event.feed
        gap = self._open(event.at_ms, absence=False)
        gap.connected_ms = -1
        gap.losses += 1
        if gap.losses == 1:
            back_for_ms = event.at_ms - self._back_ms
            gap.back_for_ms = max(back_for_ms, 1) if back_for_ms < UNSTEADY_MS else 0
            self.news = FeedOutage(event.feed, event.reason, gap.back_for_ms)

    def _connect(self, event: FeedConnected) -> None:
        self._feed = event.feed
        gap = self._gap
        if gap is None:
            return
        gap.connected_ms = event.at_ms
        if self._newest_ms > 0 and event.at_ms - self._newest_ms < self._timeframe_ms:
            self._close(gap, event.at_ms)

    def _close(self, gap: PendingGap, at_ms: int) -> None:
        """Report the end of the gap, unless an unstable feed has yet to prove itself."""
        held_ms = at_ms - gap.connected_ms
        if gap.back_for_ms and held_ms < UNSTEADY_MS:
            return
        if gap.losses or self._late:
            self.news = self._back(gap, held_ms if gap.back_for_ms else 0)
        if gap.losses:
            self._back_ms = at_ms
        self._gap = None
        self._late = {}

    def _back(self, gap: PendingGap, steady_ms: int) -> FeedRecovery:
        return FeedRecovery(
            feed=self._feed,
            from_ms=gap.from_ms,
            until_ms=gap.connected_ms,
            candles=sum(self._late.values()),
            symbols=len(self._late),
            missing=gap.missing,
            losses=gap.losses,
            absence=gap.absence and not gap.losses,
            steady_ms=steady_ms,
        )
