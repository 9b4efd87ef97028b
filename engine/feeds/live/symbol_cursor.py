"""How far one symbol was delivered and whether it may be traded: every candle once, in order, with its timing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from msgspec import Struct, field

from papertape.engine.feeds.candle_row import CandleRow
from papertape.engine.feeds.live.exchange import FundingSettlement
from papertape.engine.ports.feed import ResumePoint
from papertape.events.facts import (
    CandleClosed,
    FeedFact,
    FundingRateSettled,
    GapFilled,
    MarketFact,
    OpenInterestObserved,
    SymbolResumed,
    SymbolSuspended,
    Timing,
)
from papertape.events.units import HOUR_MS

HOLE_MS: Final = HOUR_MS
"""After a hole that cannot be filled, a symbol is tradable again when an hour of candles was complete."""
PENDING_MS: Final = HOUR_MS
"""A log without any settlement may have missed one this long before its end."""
_RANKS: Final[dict[type[MarketFact], int]] = {CandleClosed: 0, FundingRateSettled: 1, OpenInterestObserved: 2}


class SuspensionReason(StrEnum):
    """Why a symbol is not tradable. Several reasons may hold at once."""

    RESTART = "restart"
    """It was not tradable when the engine stopped, and nothing newer is known yet."""
    MISSING = "missing"
    HOLE = "hole"
    CONTRACT = "contract"
    UNCONFIGURED = "unconfigured"


class SymbolCursor(Struct):
    """The position of one symbol in its history. Times are UTC ms.

    Candles that open before `start_ms` only warm up. A `lagging` symbol misses candles and is not waited for; the
    exchange no longer lists an `ended` one. `settles_ms` is the next settlement; settlements are known up to
    `settled_hour_ms`.
    """

    symbol: str
    timeframe_ms: int
    next_open_ms: int
    start_ms: int = 0
    funding_ms: int = -1
    reading_ms: int = -1
    settles_ms: int = 0
    settled_hour_ms: int = 0
    close_usdt: float = 0.0
    implausible_row: CandleRow | None = None
    lagging: bool = False
    ended: bool = False
    complete_again_ms: int = 0
    cut_candles: int = 0
    late_from_ms: int = -1
    late_until_ms: int = -1
    late_candles: int = 0
    suspensions: set[SuspensionReason] = field(default_factory=set)

    # ------------------------------------------------------------ facts

    def candle(self, row: CandleRow, *, on_time: bool) -> CandleClosed:
        """Return the next candle as a fact."""
        assert row.open_time_ms >= self.next_open_ms, "a candle is delivered once, in order"
        close_ms = row.open_time_ms + self.timeframe_ms
        timing = Timing.ON_TIME if on_time else Timing.LATE
        if row.open_time_ms < self.start_ms:
            timing = Timing.WARM_UP
        if timing is Timing.LATE:
            self.late_from_ms = row.open_time_ms if self.late_from_ms < 0 else self.late_from_ms
            self.late_until_ms = close_ms
            self.late_candles += 1
        self.next_open_ms, self.close_usdt = close_ms, row.close
        return CandleClosed(
            close_ms, self.symbol, self.timeframe_ms, row.open, row.high, row.low, row.close, row.volume, timing
        )

    def late_facts(
        self, rows: Sequence[CandleRow], settlements: Sequence[FundingSettlement], until_ms: int
    ) -> list[MarketFact]:
        """Return the candles and settlements of a window of history as facts, all late; the window is over then."""
        facts: list[MarketFact] = [self.candle(row, on_time=False) for row in rows]
        due = [one for one in settlements if self.funding_ms < one.time_ms <= until_ms]
        facts += [self.settlement(one) for one in due]
        self.next_open_ms = max(self.next_open_ms, until_ms)
        self.settled_hour_ms = (until_ms - 1) // HOUR_MS * HOUR_MS
        return facts

    def settlement(self, settlement: FundingSettlement) -> FundingRateSettled:
        """Return the next settlement as a fact."""
        self.funding_ms = settlement.time_ms
        return FundingRateSettled(settlement.time_ms, self.symbol, settlement.rate)

    def expects_settlement(self, open_ms: int) -> bool:
        """Return whether a settlement is due before the candle that opens then, and not known yet."""
        return self.funding_ms < self.settles_ms <= open_ms

    def is_settled_until(self, until_ms: int) -> bool:
        """Return whether the settlements up to this time are known, so that the same hour is not requested again."""
        return self.settled_hour_ms >= (until_ms - 1) // HOUR_MS * HOUR_MS and not self.expects_settlement(until_ms - 1)

    def reading(self, at_ms: int, open_interest_base: float) -> OpenInterestObserved:
        """Return the next reading of open interest as a fact."""
        self.reading_ms = at_ms
        return OpenInterestObserved(at_ms, self.symbol, open_interest_base)

    def gap_filled(self, at_ms: int) -> list[FeedFact]:
        """Report once that all late candles have arrived."""
        if not self.late_candles:
            return []
        gap = GapFilled(at_ms, self.symbol, self.late_from_ms, self.late_until_ms, self.late_candles)
        self.late_from_ms, self.late_candles = -1, 0
        return [gap]

    # ------------------------------------------------------------ tradable or not

    def suspend(self, reason: SuspensionReason, text: str, at_ms: int) -> list[FeedFact]:
        """Add a reason why the symbol is not tradable; report it if it is the first."""
        first = not self.suspensions
        self.suspensions.add(reason)
        return [SymbolSuspended(at_ms, self.symbol, text)] if first else []

    def release(self, reason: SuspensionReason, text: str, at_ms: int) -> list[FeedFact]:
        """Remove a reason; report it if it was the last."""
        if reason not in self.suspensions:
            return []
        self.suspensions.remove(reason)
        return [] if self.suspensions else [SymbolResumed(at_ms, self.symbol, text)]

    def fall_behind(self, reason: str, at_ms: int) -> list[FeedFact]:
        """Stop waiting for the symbol; it is requested again every minute."""
        self.lagging = True
        return self.suspend(SuspensionReason.MISSING, f"its candles are missing: {reason}", at_ms)

    def suspend_for_missing(self, rows: Sequence[CandleRow], until_ms: int, at_ms: int) -> list[FeedFact]:
        """Suspend a symbol that is already traded if the exchange itself has a hole before `until_ms`."""
        first_ms = self.next_open_ms
        if first_ms < self.start_ms and rows:
            first_ms = rows[0].open_time_ms  # A contract may be younger than the warm-up.
        missing = count_missing(rows, first_ms, until_ms, self.timeframe_ms)
        return [] if not missing or first_ms < self.start_ms else self.suspend_for_hole(missing, first_ms, at_ms)

    def suspend_for_hole(self, missing: int, from_ms: int, at_ms: int) -> list[FeedFact]:
        """Suspend the symbol for candles that never come, until an hour of candles was complete."""
        self.complete_again_ms = at_ms + HOLE_MS
        from_text = f"{datetime.fromtimestamp(from_ms / 1_000.0, UTC):%Y-%m-%d %H:%M}"
        text = f"{missing} of its candles are not available, from {from_text} UTC on"
        return self.suspend(SuspensionReason.HOLE, text, at_ms)


def make_cursors(
    symbols: Sequence[str], timeframe_ms: int, seen: dict[str, ResumePoint], now_ms: int, limits_ms: tuple[int, int]
) -> list[SymbolCursor]:
    """Return where each symbol resumes. `limits_ms`: the warm-up of a new one, and the longest absence made up for."""
    warm_up_ms, catch_up_ms = limits_ms
    present_ms = now_ms - now_ms % timeframe_ms
    cursors = []
    for symbol in symbols:
        known = seen.get(symbol)
        if known is None or known.candle_open_ms < 0:
            first_ms = present_ms - warm_up_ms // timeframe_ms * timeframe_ms
            cursors.append(SymbolCursor(symbol, timeframe_ms, first_ms, present_ms, first_ms - 1))
        else:
            first_ms = max(known.candle_open_ms + timeframe_ms, present_ms - catch_up_ms)
            # Without a settlement in the log, only one that was not published before its end can be missing.
            least_ms = first_ms - (PENDING_MS if known.funding_ms < 0 else catch_up_ms)
            funding_ms, reading_ms = max(known.funding_ms, least_ms), known.open_interest_ms
            cursor = SymbolCursor(symbol, timeframe_ms, first_ms, 0, funding_ms, reading_ms)
            cursor.cut_candles = max(0, first_ms - known.candle_open_ms - timeframe_ms) // timeframe_ms
            if known.suspended:
                cursor.suspensions.add(SuspensionReason.RESTART)
            cursors.append(cursor)
    return cursors


def sort_facts(facts: Sequence[MarketFact], symbols: Sequence[str]) -> list[MarketFact]:
    """Return facts in the port's order: by time, candles before settlements before readings, symbols as configured."""
    places = {symbol: place for place, symbol in enumerate(symbols)}
    return sorted(facts, key=lambda fact: (fact.at_ms, _RANKS[type(fact)], places[fact.symbol]))


def count_missing(rows: Sequence[CandleRow], from_ms: int, until_ms: int, timeframe_ms: int) -> int:
    """Return how many candles are missing between two open times."""
    return max(0, (until_ms - from_ms) // timeframe_ms - len(rows))
