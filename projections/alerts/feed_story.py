"""The feed as one story: lost once, back once, however many events it took.

It is told from the log alone. The candles that came late are counted as they come, so that the holes of all symbols
belong to one message. The feed is back

- at `FeedConnected`, when no candle is missing then: a feed that catches up first connects last;
- else with the first candle on time after it: a feed that connects first hands over the hole next.

An absence of the engine that left late candles behind is told the same way. A feed that is lost again within
`UNSTEADY_MS` of being back is told as unsteady, and then as back only when it has held for as long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.events.facts import CandleClosed, EngineStarted, FeedConnected, FeedLost, GapFound, Timing

if TYPE_CHECKING:
    from papertape.events.facts import Event

UNSTEADY_MS = 900_000
_LATE, _ON_TIME = Timing.LATE, Timing.ON_TIME


class FeedOutage(Struct, frozen=True):
    """The feed was lost. `back_for_ms` is how long it had been back when it was lost again soon, else 0."""

    feed: str
    why: str
    back_for_ms: int = 0


class FeedRecovery(Struct, frozen=True):
    """The feed is back, or the engine has caught up (`absence`).

    The hole reaches from `from_ms` to `until_ms` in market time; `candles` of `symbols` symbols came late,
    `missing` never. `losses` counts how often the feed was lost, `steady_ms` how long it has held, 0 for at once.
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
    """A hole that is not told as healed yet. `connected_ms` is -1 while the feed does not deliver."""

    from_ms: int
    absence: bool
    connected_ms: int = -1
    losses: int = 0
    missing: int = 0
    back_for_ms: int = 0


class FeedOutageTracker:
    """Fold of the story; `news` is what the last event made worth telling."""

    def __init__(self) -> None:
        self.news: FeedOutage | FeedRecovery | None = None
        self._hole: PendingGap | None = None
        self._late: dict[str, int] = {}
        self._feed = ""
        self._newest_ms = 0
        self._timeframe_ms = 0
        self._back_ms = -UNSTEADY_MS

    def apply(self, event: Event) -> None:
        """Take one event."""
        if type(event) is CandleClosed:
            self.take_candle(event)
            return
        self.news = None
        match event:
            case FeedLost():
                self._lose(event)
            case FeedConnected():
                self._connect(event)
            case EngineStarted() if self._newest_ms or self._hole is not None:
                # Before the first candle no absence can be measured.
                self._open(self._newest_ms, absence=True).connected_ms = -1
            case GapFound() if self._hole is not None:
                self._hole.missing += event.missing_candles
            case _:
                pass

    def take_candle(self, candle: CandleClosed) -> None:
        """The same for a candle: most events are one, and most of them change nothing here."""
        self.news = None
        if candle.at_ms > self._newest_ms:  # noqa: PLR1730 - `max` takes three times as long.
            self._newest_ms = candle.at_ms
        self._timeframe_ms = candle.timeframe_ms
        if self._hole is not None:
            self._take_in(self._hole, candle)

    def _take_in(self, hole: PendingGap, candle: CandleClosed) -> None:
        if candle.timing is _LATE:
            self._late[candle.symbol] = self._late.get(candle.symbol, 0) + 1
        elif candle.timing is _ON_TIME and hole.connected_ms >= 0:
            self._close(hole, candle.at_ms)

    def _open(self, from_ms: int, *, absence: bool) -> PendingGap:
        if self._hole is None:
            self._hole = PendingGap(from_ms, absence)
        return self._hole

    def _lose(self, event: FeedLost) -> None:
        self._feed = event.feed
        hole = self._open(event.at_ms, absence=False)
        hole.connected_ms = -1
        hole.losses += 1
        if hole.losses == 1:
            back_for_ms = event.at_ms - self._back_ms
            hole.back_for_ms = max(back_for_ms, 1) if back_for_ms < UNSTEADY_MS else 0
            self.news = FeedOutage(event.feed, event.reason, hole.back_for_ms)

    def _connect(self, event: FeedConnected) -> None:
        self._feed = event.feed
        hole = self._hole
        if hole is None:
            return
        hole.connected_ms = event.at_ms
        if self._newest_ms > 0 and event.at_ms - self._newest_ms < self._timeframe_ms:
            self._close(hole, event.at_ms)

    def _close(self, hole: PendingGap, at_ms: int) -> None:
        """Tell the end of the hole, unless the feed has to prove itself first."""
        held_ms = at_ms - hole.connected_ms
        if hole.back_for_ms and held_ms < UNSTEADY_MS:
            return
        if hole.losses or self._late:
            self.news = self._back(hole, held_ms if hole.back_for_ms else 0)
        if hole.losses:
            self._back_ms = at_ms
        self._hole = None
        self._late = {}

    def _back(self, hole: PendingGap, steady_ms: int) -> FeedRecovery:
        return FeedRecovery(
            feed=self._feed,
            from_ms=hole.from_ms,
            until_ms=hole.connected_ms,
            candles=sum(self._late.values()),
            symbols=len(self._late),
            missing=hole.missing,
            losses=hole.losses,
            absence=hole.absence and not hole.losses,
            steady_ms=steady_ms,
        )
