"""What the streams have shown: the newest rows of every symbol, whether they can be trusted, and its open interest.

A plain fold over frames: no sockets, no clock. A candle of a stream counts as final only if nothing speaks against
it: it was watched from before its open without a break, it was shown within the last moments before its end, and
none of its rows was refused. In any other case the exchange's history decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct, field

from papertape.engine.feeds.candle_row import CandleRow, is_price_jump
from papertape.engine.ports.feed import RefusalLog, RefusalReason
from papertape.events.units import HOUR_MS, MINUTE_MS

ROWS_KEPT_MAX: Final = 6
READING_MS: Final = 5 * MINUTE_MS
"""The grid of open interest readings; the exchange publishes a value many times a second."""
READING_LATE_MS_MAX: Final = MINUTE_MS
SETTLED_EVERY_MS: Final = HOUR_MS
"""Funding is settled on whole hours, at most once an hour."""
QUIET_MS_MAX: Final = 2_000
"""A candle last shown longer than this before its end may lack its last trades."""
AHEAD_MS_MAX: Final = 5_000
"""A row or message from further in the future is an error."""
NEVER_MS: Final = 1 << 62


class CandleFrame(Struct, frozen=True):
    """Candle rows of one symbol, oldest first; `refused` are the invalid ones."""

    symbol: str
    snapshot: bool
    at_ms: int
    rows: list[CandleRow]
    refused: list[tuple[RefusalReason, str]]


class TickerFrame(Struct, frozen=True):
    """The ticker of one symbol: mark price in USDT, open interest in coins, the next settlement."""

    symbol: str
    at_ms: int
    mark_usdt: float
    open_interest_base: float
    funding_rate: float
    next_settlement_ms: int


class RefusedFrame(Struct, frozen=True):
    """An invalid frame. `symbol` is empty if it could not be read."""

    reason: RefusalReason
    symbol: str = ""


class SymbolStreamState(Struct):
    """One symbol as its streams show it. Times are UTC ms of the exchange."""

    rows: dict[int, CandleRow] = field(default_factory=dict)
    shown_ms: dict[int, int] = field(default_factory=dict)
    newest_open_ms: int = -1
    begun_ms: int = -1
    """When the newest candle was first shown, by the receiver's time."""
    complete_from_ms: int = NEVER_MS
    """Candles that open from here on are watched without a break."""
    suspect_opens_ms: set[int] = field(default_factory=set)
    frame_ms: int = -1
    ticker_ms: int = -1
    announced_ms: int = -1
    """When the next settlement was last announced."""
    reading_ms: int = -1
    open_interest_base: float = 0.0
    next_settlement_ms: int = 0
    mark_usdt: float = 0.0
    odd_close_usdt: float = 0.0
    odd_mark_usdt: float = 0.0
    """A mark price that was taken for an error; the next one near it is believed."""


class StreamState:
    """The stream states of all symbols. `on_frame` is called after every frame that was accepted."""

    def __init__(
        self,
        symbols: Iterable[str],
        timeframe_ms: int,
        refusals: RefusalLog,
        on_frame: Callable[[], None] = lambda: None,
    ) -> None:
        self._timeframe_ms = timeframe_ms
        self._refusals = refusals
        self._on_frame = on_frame
        self.symbols: dict[str, SymbolStreamState] = {}
        self.add(symbols)

    def add(self, symbols: Iterable[str]) -> None:
        """Prepare for the streams of more symbols; those that are known keep what they have shown."""
        for symbol in symbols:
            self.symbols.setdefault(symbol, SymbolStreamState())

    def final_candle(self, symbol: str, open_ms: int, settle_ms: int = 0) -> CandleRow | None:
        """Return the candle that opened at `open_ms`, or None if the stream may not have shown all of it."""
        state, close_ms = self.symbols[symbol], open_ms + self._timeframe_ms
        if not self.is_over(symbol, close_ms, settle_ms) or open_ms < state.complete_from_ms:
            return None
        if close_ms not in state.rows:
            return None  # The stream skipped the next candle: it may have missed the end of this one too.
        quiet_ms = close_ms - state.shown_ms.get(open_ms, -NEVER_MS)
        if quiet_ms > QUIET_MS_MAX or open_ms in state.suspect_opens_ms:
            return None
        return state.rows.get(open_ms)

    def final_candles(self, symbol: str, opens_ms: range, settle_ms: int) -> list[CandleRow] | None:
        """Return the candles of all these open times, or None if one of them is not final."""
        if len(opens_ms) > ROWS_KEPT_MAX:
            return None
        rows = [row for open_ms in opens_ms if (row := self.final_candle(symbol, open_ms, settle_ms)) is not None]
        return rows if len(rows) == len(opens_ms) else None

    def is_over(self, symbol: str, close_ms: int, settle_ms: int) -> bool:
        """Return whether the next candle has begun and a stream spoke `settle_ms` later, by the exchange's time.

        A correction that was sent in between has then arrived. Our own clock does not count: it may have been set,
        and a connection that died just after the close would look well for a while.
        """
        state = self.symbols[symbol]
        spoke_ms = max(state.frame_ms, state.ticker_ms)
        return state.newest_open_ms >= close_ms and spoke_ms >= close_ms + settle_ms

    def mark_interrupted(self, symbols: Iterable[str]) -> None:
        """Record that the streams of these symbols were interrupted: their forming candles are incomplete."""
        for symbol in symbols:
            self.symbols[symbol].complete_from_ms = NEVER_MS

    def mark_suspect(self, symbol: str) -> None:
        """Distrust the symbol's forming candle and its two neighbours, because a row was refused."""
        state = self.symbols[symbol]
        newest_ms, step_ms = state.newest_open_ms, self._timeframe_ms
        suspects = state.suspect_opens_ms | {newest_ms - step_ms, newest_ms, newest_ms + step_ms}
        oldest_ms = newest_ms - ROWS_KEPT_MAX * step_ms
        state.suspect_opens_ms = {open_ms for open_ms in suspects if open_ms >= oldest_ms}

    def refuse_frame(self, frame: RefusedFrame, source: str, text: str) -> None:
        """Count a refused frame; distrust the candles of its symbol."""
        self._refusals.refuse(source, 0, frame.reason, text)
        if frame.symbol in self.symbols:
            self.mark_suspect(frame.symbol)

    # ------------------------------------------------------------ frames

    def take_candles(self, frame: CandleFrame, now_ms: int) -> None:
        """Take the rows of a candle frame, each on its own."""
        symbol = frame.symbol
        state = self.symbols[symbol]
        for reason, text in frame.refused:
            self._refuse(symbol, reason, text)
        if frame.at_ms < state.frame_ms or frame.at_ms > now_ms + AHEAD_MS_MAX:
            self._refuse(symbol, RefusalReason.STALE, f"candle frame of {frame.at_ms}")
            return
        state.frame_ms = frame.at_ms
        if state.complete_from_ms == NEVER_MS and frame.rows:
            state.complete_from_ms = (now_ms // self._timeframe_ms + 1) * self._timeframe_ms
        for row in frame.rows:
            fault = self._fault(state, row, now_ms, snapshot=frame.snapshot)
            if fault is not None:
                self._refuse(symbol, fault, str(row))
            elif row.open_time_ms > state.newest_open_ms - ROWS_KEPT_MAX * self._timeframe_ms:
                self._store_row(state, row, frame.at_ms, now_ms)
        self._on_frame()

    def _refuse(self, symbol: str, reason: RefusalReason, text: str) -> None:
        self._refusals.refuse(symbol, 0, reason, text)
        self.mark_suspect(symbol)

    def _fault(self, state: SymbolStreamState, row: CandleRow, now_ms: int, *, snapshot: bool) -> RefusalReason | None:
        if row.open_time_ms > now_ms + AHEAD_MS_MAX:
            return RefusalReason.TIME_OUT_OF_RANGE
        known = state.rows.get(row.open_time_ms)
        if known is not None and row.volume < known.volume:
            return RefusalReason.STALE
        newest = state.rows.get(state.newest_open_ms)
        odd_usdt, state.odd_close_usdt = state.odd_close_usdt, 0.0
        if not snapshot and newest is not None and is_price_jump(row.close, newest.close):
            if odd_usdt > 0.0 and not is_price_jump(row.close, odd_usdt):
                return None  # Twice in a row, so it is the market. The candle stays suspect all the same.
            state.odd_close_usdt = row.close
            return RefusalReason.ABSURD_JUMP
        return None

    def _store_row(self, state: SymbolStreamState, row: CandleRow, at_ms: int, now_ms: int) -> None:
        open_ms = row.open_time_ms
        state.rows[open_ms] = row
        # What is shown of a candle only after its end may be an old state of it.
        if at_ms < open_ms + self._timeframe_ms:
            state.shown_ms[open_ms] = at_ms
        if open_ms > state.newest_open_ms:
            state.newest_open_ms, state.begun_ms = open_ms, now_ms
            for old_ms in [
                known_ms for known_ms in state.rows if known_ms <= open_ms - ROWS_KEPT_MAX * self._timeframe_ms
            ]:
                del state.rows[old_ms]
                state.shown_ms.pop(old_ms, None)

    def take_ticker(self, frame: TickerFrame, now_ms: int) -> None:
        """Take a ticker: the first one at or after each five minutes is the reading of open interest."""
        state = self.symbols[frame.symbol]
        if (refusal := self._ticker_fault(state, frame, now_ms)) is not None:
            self._refusals.refuse(frame.symbol, 0, *refusal)
            return
        state.ticker_ms, state.mark_usdt = frame.at_ms, frame.mark_usdt
        self.announce_settlement(frame.symbol, frame.at_ms, frame.next_settlement_ms)
        reading_ms = frame.at_ms // READING_MS * READING_MS
        if reading_ms > state.reading_ms and frame.at_ms - reading_ms < READING_LATE_MS_MAX:
            state.reading_ms, state.open_interest_base = reading_ms, frame.open_interest_base
        self._on_frame()

    def announce_settlement(self, symbol: str, at_ms: int, next_ms: int) -> None:
        """Take what the exchange said at a time about a symbol's next settlement."""
        state = self.symbols[symbol]
        state.announced_ms, state.next_settlement_ms = at_ms, next_ms

    @staticmethod
    def _ticker_fault(state: SymbolStreamState, frame: TickerFrame, now_ms: int) -> tuple[RefusalReason, str] | None:
        if frame.at_ms < state.ticker_ms or abs(frame.at_ms - now_ms) > READING_LATE_MS_MAX:
            return RefusalReason.STALE, f"ticker of {frame.at_ms}"
        odd_usdt, state.odd_mark_usdt = state.odd_mark_usdt, 0.0
        is_odd = odd_usdt <= 0.0 or is_price_jump(frame.mark_usdt, odd_usdt)
        if is_price_jump(frame.mark_usdt, state.mark_usdt) and is_odd:
            state.odd_mark_usdt = frame.mark_usdt
            return RefusalReason.ABSURD_JUMP, f"mark price {frame.mark_usdt}"
        if frame.next_settlement_ms % SETTLED_EVERY_MS != 0:
            return RefusalReason.OFF_GRID, f"settles {frame.next_settlement_ms}"
        return None
