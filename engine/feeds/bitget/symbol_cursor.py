"""How far one symbol was delivered, and whether it may be traded: every candle once, in order, marked by its timing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from typing import Final

from msgspec import Struct, field

from papertape.engine.feeds.bitget.responses import FundingSettlement
from papertape.engine.feeds.candle_row import CandleRow
from papertape.engine.ports.feed import ResumePoint
from papertape.events.facts import (
    CandleClosed,
    FeedFact,
    FundingRateSettled,
    GapFilled,
    OpenInterestObserved,
    SymbolResumed,
    SymbolSuspended,
    Timing,
)
from papertape.events.units import HOUR_MS

BEFORE: Final = "before"
"""Why a symbol is held that was not tradable when the engine stopped, until it is known how it stands now."""
_CANDLE, _FUNDING, _READING = 0, 1, 2
PENDING_MS: Final = HOUR_MS
"""So long before its end a log that knows no settlement at all may have missed one."""

Ranked = tuple[int, int, int, FeedFact]
"""A fact behind what orders it: time, kind, place of its symbol."""


class SymbolCursor(Struct):
    """One symbol's place in its own history. Times are UTC ms; `place` is that in the configured order.

    Candles that open before `start_ms` only warm up. `lagging`: its candles are missing and nobody waits for them.
    `ended`: the exchange does not list it. `settles_ms` is the settlement that comes next; settlements are known up to
    `settled_hour_ms`.
    """

    symbol: str
    place: int
    timeframe_ms: int
    next_open_ms: int
    start_ms: int = 0
    funding_ms: int = -1
    reading_ms: int = -1
    settles_ms: int = 0
    settled_hour_ms: int = 0
    close_usdt: float = 0.0
    doubtful: CandleRow | None = None
    lagging: bool = False
    ended: bool = False
    whole_again_ms: int = 0
    cut_candles: int = 0
    late_from_ms: int = -1
    late_until_ms: int = -1
    late_candles: int = 0
    held: dict[str, str] = field(default_factory=dict)

    # ------------------------------------------------------------ facts

    def candle(self, row: CandleRow, *, on_time: bool) -> Ranked:
        """The next candle as a fact."""
        assert row.open_time_ms >= self.next_open_ms, "a candle is delivered once, in order"
        timing = Timing.ON_TIME if on_time else Timing.LATE
        if row.open_time_ms < self.start_ms:
            timing = Timing.WARM_UP
        if timing is Timing.LATE:
            self.late_from_ms = row.open_time_ms if self.late_from_ms < 0 else self.late_from_ms
            self.late_until_ms = row.open_time_ms + self.timeframe_ms
            self.late_candles += 1
        self.next_open_ms = row.open_time_ms + self.timeframe_ms
        self.close_usdt = row.close
        _, opened, high, low, closed, volume = (getattr(row, name) for name in row.__struct_fields__)
        close_ms = self.next_open_ms
        fact = CandleClosed(close_ms, self.symbol, self.timeframe_ms, opened, high, low, closed, volume, timing)
        return close_ms, _CANDLE, self.place, fact

    def settlement(self, settled: FundingSettlement) -> Ranked:
        """The next settlement as a fact."""
        self.funding_ms = settled.time_ms
        fact = FundingRateSettled(settled.time_ms, self.symbol, settled.rate)
        return settled.time_ms, _FUNDING, self.place, fact

    def expects_settlement(self, open_ms: int) -> bool:
        """Whether a settlement is due before the candle of this open, and not known yet."""
        return self.funding_ms < self.settles_ms <= open_ms

    def is_checked_until(self, until_ms: int) -> bool:
        """Whether the settlements up to this time are known: it is not asked again for those of the same hour."""
        return self.settled_hour_ms >= (until_ms - 1) // HOUR_MS * HOUR_MS and not self.expects_settlement(until_ms - 1)

    def reading(self, at_ms: int, open_interest_base: float) -> Ranked:
        """The next reading of open interest as a fact."""
        self.reading_ms = at_ms
        return at_ms, _READING, self.place, OpenInterestObserved(at_ms, self.symbol, open_interest_base)

    def gap_filled(self, at_ms: int) -> Iterator[FeedFact]:
        """That what had come late is all there, once."""
        if self.late_candles:
            yield GapFilled(at_ms, self.symbol, self.late_from_ms, self.late_until_ms, self.late_candles)
            self.late_from_ms, self.late_candles = -1, 0

    # ------------------------------------------------------------ tradable or not

    def suspend(self, why: str, text: str, at_ms: int) -> Iterator[FeedFact]:
        """A reason why the symbol is not tradable; told when it is the first."""
        if not self.held:
            yield SymbolSuspended(at_ms, self.symbol, text)
        self.held[why] = text

    def release(self, why: str, text: str, at_ms: int) -> Iterator[FeedFact]:
        """A reason is gone; told when it was the last."""
        if self.held.pop(why, None) is not None and not self.held:
            yield SymbolResumed(at_ms, self.symbol, text)


def make_tracks(
    symbols: Sequence[str], timeframe_ms: int, seen: dict[str, ResumePoint], now_ms: int, limits_ms: tuple[int, int]
) -> list[SymbolCursor]:
    """Where each symbol goes on. `limits_ms`: how long a new one warms up, and how long an absence is made up for."""
    warm_up_ms, catch_up_ms = limits_ms
    present_ms = now_ms - now_ms % timeframe_ms
    tracks = []
    for place, symbol in enumerate(symbols):
        known = seen.get(symbol)
        if known is None or known.candle_open_ms < 0:
            first_ms = present_ms - warm_up_ms // timeframe_ms * timeframe_ms
            tracks.append(SymbolCursor(symbol, place, timeframe_ms, first_ms, present_ms, first_ms - 1))
        else:
            first_ms = max(known.candle_open_ms + timeframe_ms, present_ms - catch_up_ms)
            # Without a settlement in the log only one that was not shown before its end can be missing.
            least_ms = first_ms - (PENDING_MS if known.funding_ms < 0 else catch_up_ms)
            funding_ms, reading_ms = max(known.funding_ms, least_ms), known.open_interest_ms
            track = SymbolCursor(symbol, place, timeframe_ms, first_ms, 0, funding_ms, reading_ms)
            track.cut_candles = max(0, first_ms - known.candle_open_ms - timeframe_ms) // timeframe_ms
            if known.suspended:
                track.held[BEFORE] = "it was not tradable when the engine stopped"
            tracks.append(track)
    return tracks


def utc_text(at_ms: int) -> str:
    """A time as people write it, to the minute."""
    return f"{datetime.fromtimestamp(at_ms / 1_000.0, UTC):%Y-%m-%d %H:%M}"


def sort_facts(ranked: Sequence[Ranked]) -> list[FeedFact]:
    """Facts in the order of the port: by time, candles before settlements before readings, symbols as configured."""
    return [fact for *_, fact in sorted(ranked, key=itemgetter(0, 1, 2))]


def count_missing(rows: Sequence[CandleRow], from_ms: int, until_ms: int, timeframe_ms: int) -> int:
    """How many candles are missing between two open times."""
    return max(0, (until_ms - from_ms) // timeframe_ms - len(rows))
