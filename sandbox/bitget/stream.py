"""The frames that a channel sends at a moment, with faults applied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from papertape.engine.feeds.candle_row import CandleRow
from papertape.sandbox.bitget.faults import BitgetFault
from papertape.sandbox.bitget.garbage import garbage_frame
from papertape.sandbox.bitget.history import GRANULARITIES
from papertape.sandbox.bitget.market import move_price
from papertape.sandbox.bitget.pages import stream_ticker_text
from papertape.sandbox.bitget.text import arg_text, push_text, stream_row, turnover
from papertape.sandbox.bitget.venue import Venue

TICKER: Final = "ticker"
CANDLE: Final = "candle"
STALE_BARS: Final = 3
CORRECTION_MS: Final = (200, 1_500)
OLDER_MS: Final = 7_000
CLOSE_TICK_MS: Final = 250
"""How long before the end of a candle its last update is sent; its last trade was earlier."""

Key = tuple[str, str]
"""The channel and the symbol."""
Later = Callable[[int, Key, str], None]
"""Sends a text at a later time to the subscribers of a channel."""


class ChannelPublisher:
    """What was last pushed on every subscribed channel, and what comes next."""

    def __init__(self, venue: Venue, later: Later) -> None:
        self._venue = venue
        self._history = venue.history
        self._later = later
        self._pushed: dict[Key, CandleRow] = {}
        self._skipped: dict[Key, int] = {}

    def forget(self, key: Key) -> None:
        """Forget a channel without subscribers."""
        self._pushed.pop(key, None)
        self._skipped.pop(key, None)

    # ------------------------------------------------------------ snapshots

    def snapshot(self, key: Key, now_ms: int) -> str | None:
        """Return the first frame after a subscription; None if there is no data yet."""
        channel, symbol = key
        if channel == TICKER:
            return self.ticker(symbol, now_ms)
        granularity = channel.removeprefix(CANDLE)
        forming = self._history.forming(symbol, granularity, now_ms)
        if forming is not None:
            self._pushed.setdefault(key, forming)
        if active := self._venue.faults.hits(BitgetFault.STALE_SNAPSHOT, symbol):
            rows = self._stale_rows(symbol, granularity, now_ms, active.value or STALE_BARS)
        else:
            rows = self._history.bars(symbol, granularity, now_ms, self._venue.behaviour.snapshot_rows - 1)
            rows += [] if forming is None else [forming]
        return push_text("snapshot", arg_text(*key), ",".join(map(_row_text, rows)), now_ms)

    def _stale_rows(self, symbol: str, granularity: str, now_ms: int, bars_ago: int) -> list[CandleRow]:
        length_ms, _ = GRANULARITIES[granularity]
        count = self._venue.behaviour.snapshot_rows
        rows = self._history.bars(symbol, granularity, now_ms - bars_ago * length_ms, count)
        halves = (self._history.forming(symbol, granularity, row.open_time_ms + length_ms // 2) for row in rows[-2:])
        return [*rows[:-2], *(row for row in halves if row is not None)]

    # ------------------------------------------------------------ tickers

    def ticker(self, symbol: str, now_ms: int) -> str:
        """Return a ticker frame: every push holds the whole object."""
        return push_text(
            "snapshot", arg_text(TICKER, symbol), stream_ticker_text(self._history, symbol, now_ms), now_ms
        )

    def tickers(self, key: Key, now_ms: int) -> list[str | bytes]:
        """Return what a ticker channel sends now. Bytes are a binary message."""
        faults, symbol = self._venue.faults, key[1]
        if not faults.active:
            return [self.ticker(symbol, now_ms)]
        if faults.hits(BitgetFault.SILENT_SYMBOL, symbol):
            return []
        text = self.ticker(symbol, now_ms)
        return [text, *self._garbage(symbol, text)]

    # ------------------------------------------------------------ candles

    def candles(self, key: Key, now_ms: int) -> list[str | bytes]:
        """Return the updates of a channel if its candle has changed. A candle without trades is not pushed."""
        channel, symbol = key
        granularity = channel.removeprefix(CANDLE)
        row = self._history.forming(symbol, granularity, now_ms)
        before = self._pushed.get(key)
        if row is None or row == before:
            return []
        faulty = bool(self._venue.faults.active)
        if faulty and self._is_silenced(key, row, before):
            return []
        together = self._is_together(symbol, row, before)
        rows = self._fresh(key, row, before, together)
        self._pushed[key] = row
        if not rows:
            return []
        if faulty and self._is_last(granularity, row, now_ms):
            rows = [*rows[:-1], self._corrected(key, rows[-1])]
        frames = _frames(key, rows, now_ms, together)
        return self._apply_faults(key, frames, now_ms) if faulty else [*frames]

    def _is_together(self, symbol: str, row: CandleRow, before: CandleRow | None) -> bool:
        if before is None or row.open_time_ms == before.open_time_ms:
            return False
        return self._venue.behaviour.two_rows or self._venue.faults.hits(BitgetFault.TWO_ROWS, symbol) is not None

    def _fresh(self, key: Key, row: CandleRow, before: CandleRow | None, together: bool) -> list[CandleRow]:
        """Return the previous candle, if its last trades were not pushed yet, and the forming one."""
        rows = []
        if before is not None and row.open_time_ms > before.open_time_ms:
            whole = self._history.bar(key[1], key[0].removeprefix(CANDLE), before.open_time_ms)
            if whole is not None and (together or whole != before) and whole.volume > 0.0:
                rows.append(whole)
        return [*rows, row] if row.volume > 0.0 else rows

    def _is_silenced(self, key: Key, row: CandleRow, before: CandleRow | None) -> bool:
        faults, symbol = self._venue.faults, key[1]
        if faults.hits(BitgetFault.SILENT_SYMBOL, symbol):
            return True
        if before is None or row.open_time_ms <= before.open_time_ms:
            return False
        if self._skipped.get(key, 0) < row.open_time_ms and faults.hits(BitgetFault.SKIPPED_BAR, symbol):
            self._skipped[key] = row.open_time_ms
        return self._skipped.get(key) == row.open_time_ms

    def _is_last(self, granularity: str, row: CandleRow, now_ms: int) -> bool:
        return row.open_time_ms + GRANULARITIES[granularity][0] - now_ms <= CLOSE_TICK_MS

    def _corrected(self, key: Key, row: CandleRow) -> CandleRow:
        """Return the last row with a wrong close and volume; the right row is sent after the close."""
        faults = self._venue.faults
        if not faults.hits(BitgetFault.CORRECTED, key[1]):
            return row
        length_ms, _ = GRANULARITIES[key[0].removeprefix(CANDLE)]
        at_ms = row.open_time_ms + length_ms + faults.rng.randint(*CORRECTION_MS)
        self._later(at_ms, key, push_text("update", arg_text(*key), _row_text(row), at_ms))
        tick = self._history.listing(key[1]).tick
        close = move_price(row.close, tick, -1) if row.close > row.low else move_price(row.close, tick, 1)
        close = close if row.low <= close <= row.high else row.close
        volume = int(row.volume * 970.0) / 1_000.0
        return CandleRow(row.open_time_ms, row.open, row.high, row.low, close, volume)

    # ------------------------------------------------------------ faults of frames

    def _apply_faults(self, key: Key, frames: list[str], now_ms: int) -> list[str | bytes]:
        faults, (channel, symbol) = self._venue.faults, key
        sent: list[str | bytes] = [*frames]
        if faults.hits(BitgetFault.DUPLICATE, symbol):
            sent = [frame for frame in frames for _ in range(2)]
        if faults.hits(BitgetFault.OUT_OF_ORDER, symbol):
            older = self._history.forming(symbol, channel.removeprefix(CANDLE), now_ms - OLDER_MS)
            if older is not None and older.volume > 0.0:
                sent += _frames(key, [older], now_ms, together=False)
        return [*sent, *self._garbage(symbol, frames[-1])]

    def _garbage(self, symbol: str, text: str) -> list[str | bytes]:
        faults = self._venue.faults
        active = faults.hits(BitgetFault.GARBAGE, symbol)
        return [] if active is None else [garbage_frame(active.value, text, faults.rng)]


def _frames(key: Key, rows: list[CandleRow], now_ms: int, together: bool) -> list[str]:
    arg = arg_text(*key)
    if together:
        return [push_text("update", arg, ",".join(map(_row_text, rows)), now_ms)]
    return [push_text("update", arg, _row_text(row), now_ms) for row in rows]


def _row_text(row: CandleRow) -> str:
    return stream_row(row, turnover(row))
