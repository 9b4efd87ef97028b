"""What the streams showed: the newest rows of every symbol, whether they can be trusted, and its open interest.

A plain fold over frames: no sockets, no clock. A candle of a stream counts as final only when nothing speaks
against it: it was watched from before its open without a break, it was shown within the last moments before its
end, and no row of it was refused. Everything else is for the exchange's history to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct, field

from papertape.engine.feeds.bitget.frames import CANDLES, CandleFrame, TickerFrame
from papertape.engine.feeds.candle_row import CandleRow, is_price_jump
from papertape.engine.ports.feed import RefusalLog, RefusalReason
from papertape.events.units import HOUR_MS, MINUTE_MS

ROWS_KEPT_MAX: Final = 6
READING_MS: Final = 300_000
"""Open interest is read on this grid: the exchange publishes it many times a second."""
READING_LATE_MS_MAX: Final = MINUTE_MS
SETTLED_EVERY_MS: Final = HOUR_MS
"""Funding is settled on whole hours, every one of them at the most."""
QUIET_MS_MAX: Final = 2_000
"""A candle last shown longer than this before its end may miss its last trades."""
AHEAD_MS_MAX: Final = 5_000
"""A row or message from further in the future than this is an error."""
NEVER_MS: Final = 1 << 62


class SymbolStreamState(Struct):
    """One symbol as its streams show it. Times are UTC ms of the exchange."""

    rows: dict[int, CandleRow] = field(default_factory=dict)
    shown_ms: dict[int, int] = field(default_factory=dict)
    newest_open_ms: int = -1
    begun_ms: int = -1
    """When the newest candle was shown first, by the receiver's time."""
    whole_from_ms: int = NEVER_MS
    """Candles that open from here on are watched whole."""
    doubted: set[int] = field(default_factory=set)
    frame_ms: int = -1
    ticker_ms: int = -1
    reading_ms: int = -1
    open_interest_base: float = 0.0
    next_settlement_ms: int = 0
    mark_usdt: float = 0.0
    odd_close_usdt: float = 0.0
    odd_mark_usdt: float = 0.0
    """A mark price that was taken for an error; the next one near it is believed."""


class StreamState:
    """All symbols. `on_news` is called with every frame that was taken."""

    def __init__(self, symbols: Iterable[str], timeframe_ms: int, refusals: RefusalLog) -> None:
        self._timeframe_ms = timeframe_ms
        self._refusals = refusals
        self.symbols = {symbol: SymbolStreamState() for symbol in symbols}
        self.on_news: Callable[[], None] = lambda: None

    def final_candle(self, symbol: str, open_ms: int, settle_ms: int = 0) -> CandleRow | None:
        """The candle that opened at `open_ms`, when the stream is to be believed that this is all of it."""
        watched, close_ms = self.symbols[symbol], open_ms + self._timeframe_ms
        if not self.is_over(symbol, close_ms, settle_ms) or open_ms < watched.whole_from_ms:
            return None
        if close_ms not in watched.rows:
            return None  # The stream skipped the next one: it may have missed the end of this one too.
        quiet_ms = close_ms - watched.shown_ms.get(open_ms, -NEVER_MS)
        if quiet_ms > QUIET_MS_MAX or open_ms in watched.doubted:
            return None
        return watched.rows.get(open_ms)

    def has_begun(self, symbol: str, open_ms: int) -> bool:
        """Whether the stream showed a candle that opened at `open_ms` or later."""
        return self.symbols[symbol].newest_open_ms >= open_ms

    def is_over(self, symbol: str, close_ms: int, settle_ms: int) -> bool:
        """Whether the next candle has begun and the streams still spoke `settle_ms` later, by the exchange's own time.

        A correction that was sent meanwhile has then come. Our own clock may have been set, and a connection that
        died just behind the close would look well for a while.
        """
        watched = self.symbols[symbol]
        spoke_ms = max(watched.frame_ms, watched.ticker_ms)
        return watched.newest_open_ms >= close_ms and spoke_ms >= close_ms + settle_ms

    def mark_interrupted(self, symbols: Iterable[str]) -> None:
        """The streams of these symbols are gone: what forms now was not watched whole."""
        for symbol in symbols:
            self.symbols[symbol].whole_from_ms = NEVER_MS

    def mark_suspect(self, symbol: str) -> None:
        """Something was wrong on the symbol's candles: the one that forms, and the one before it, may be."""
        watched = self.symbols[symbol]
        newest_ms = watched.newest_open_ms
        watched.doubted |= {newest_ms - self._timeframe_ms, newest_ms, newest_ms + self._timeframe_ms}
        oldest_ms = newest_ms - ROWS_KEPT_MAX * self._timeframe_ms
        watched.doubted = {open_ms for open_ms in watched.doubted if open_ms >= oldest_ms}

    # ------------------------------------------------------------ frames

    def take_candles(self, frame: CandleFrame, now_ms: int) -> None:
        """Take the rows of a candle frame, each on its own."""
        symbol = frame.symbol
        watched = self.symbols[symbol]
        if frame.at_ms < watched.frame_ms or frame.at_ms > now_ms + AHEAD_MS_MAX:
            self._refuse(symbol, RefusalReason.STALE, f"{CANDLES} frame of {frame.at_ms}")
            return
        watched.frame_ms = frame.at_ms
        if watched.whole_from_ms == NEVER_MS and frame.rows:
            watched.whole_from_ms = (now_ms // self._timeframe_ms + 1) * self._timeframe_ms
        for row in frame.rows:
            reason = self._wrong(watched, row, now_ms, snapshot=frame.snapshot)
            if reason is not None:
                self._refuse(symbol, reason, str(row))
            elif row.open_time_ms > watched.newest_open_ms - ROWS_KEPT_MAX * self._timeframe_ms:
                self._store_row(watched, row, frame.at_ms, now_ms)
        self.on_news()

    def _wrong(
        self, watched: SymbolStreamState, row: CandleRow, now_ms: int, *, snapshot: bool
    ) -> RefusalReason | None:
        if row.open_time_ms > now_ms + AHEAD_MS_MAX:
            return RefusalReason.TIME_OUT_OF_RANGE
        known = watched.rows.get(row.open_time_ms)
        if known is not None and row.volume < known.volume:
            return RefusalReason.STALE
        newest = watched.rows.get(watched.newest_open_ms)
        odd_usdt, watched.odd_close_usdt = watched.odd_close_usdt, 0.0
        if not snapshot and newest is not None and is_price_jump(row.close, newest.close):
            if odd_usdt > 0.0 and not is_price_jump(row.close, odd_usdt):
                return None  # Said twice: it is the market. The candle stays in doubt all the same.
            watched.odd_close_usdt = row.close
            return RefusalReason.ABSURD_JUMP
        return None

    def _store_row(self, watched: SymbolStreamState, row: CandleRow, at_ms: int, now_ms: int) -> None:
        open_ms = row.open_time_ms
        watched.rows[open_ms] = row
        # What is shown of a candle only after its end may be an old state of it.
        if at_ms < open_ms + self._timeframe_ms:
            watched.shown_ms[open_ms] = at_ms
        if open_ms > watched.newest_open_ms:
            watched.newest_open_ms, watched.begun_ms = open_ms, now_ms
            for old_ms in [kept for kept in watched.rows if kept <= open_ms - ROWS_KEPT_MAX * self._timeframe_ms]:
                del watched.rows[old_ms]
                watched.shown_ms.pop(old_ms, None)

    def take_ticker(self, frame: TickerFrame, now_ms: int) -> None:
        """Take a ticker: the first one at or after each five minutes is the reading of open interest."""
        watched = self.symbols[frame.symbol]
        if frame.at_ms < watched.ticker_ms or abs(frame.at_ms - now_ms) > READING_LATE_MS_MAX:
            self._refuse(frame.symbol, RefusalReason.STALE, f"ticker of {frame.at_ms}", doubt=False)
            return
        odd_usdt, watched.odd_mark_usdt = watched.odd_mark_usdt, 0.0
        if is_price_jump(frame.mark_usdt, watched.mark_usdt) and (
            odd_usdt <= 0.0 or is_price_jump(frame.mark_usdt, odd_usdt)
        ):
            watched.odd_mark_usdt = frame.mark_usdt
            self._refuse(frame.symbol, RefusalReason.ABSURD_JUMP, f"mark price {frame.mark_usdt}", doubt=False)
            return
        if frame.next_settlement_ms % SETTLED_EVERY_MS != 0:
            self._refuse(frame.symbol, RefusalReason.OFF_GRID, f"settles {frame.next_settlement_ms}", doubt=False)
            return
        watched.ticker_ms, watched.mark_usdt = frame.at_ms, frame.mark_usdt
        watched.next_settlement_ms = frame.next_settlement_ms
        reading_ms = frame.at_ms // READING_MS * READING_MS
        if reading_ms > watched.reading_ms and frame.at_ms - reading_ms < READING_LATE_MS_MAX:
            watched.reading_ms, watched.open_interest_base = reading_ms, frame.open_interest_base
        self.on_news()

    def _refuse(self, symbol: str, reason: RefusalReason, text: str, *, doubt: bool = True) -> None:
        self._refusals.refuse(symbol, 0, reason, text)
        if doubt:
            self.mark_suspect(symbol)
