"""Readings of open interest, every five minutes: from the ticker or, where that is silent, from the exchange."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from papertape.engine.feeds.live.exchange import OpenInterestSource
from papertape.engine.feeds.live.stream_state import READING_MS

if TYPE_CHECKING:
    from papertape.engine.feeds.live.history import History
    from papertape.engine.feeds.live.stream_state import StreamState
    from papertape.engine.feeds.live.symbol_cursor import SymbolCursor
    from papertape.events.facts import MarketFact


class ReadingFetcher:
    """Finds readings. `source` is how the exchange publishes them."""

    def __init__(self, history: History, stream_state: StreamState, source: OpenInterestSource) -> None:
        self._history, self._stream_state, self._source = history, stream_state, source

    def is_awaited(self, cursor: SymbolCursor, close_ms: int) -> bool:
        """Return whether the streams are still to show a reading that is due at this time."""
        if close_ms % READING_MS != 0 or self._source is not OpenInterestSource.STREAMED:
            return False
        return max(cursor.reading_ms, self._stream_state.symbols[cursor.symbol].reading_ms) < close_ms

    async def fetch(self, cursors: Sequence[SymbolCursor], close_ms: int, until_ms: int) -> list[MarketFact]:
        """Return the open interest at this time, as far as it is known by `until_ms`."""
        if close_ms % READING_MS != 0 or self._source is OpenInterestSource.NONE:
            return []
        states = self._stream_state.symbols
        silent = [cursor for cursor in cursors if states[cursor.symbol].reading_ms != close_ms]
        fetched = await self._history.open_interest(silent, until_ms)
        streamed = {one.symbol: states[one.symbol] for one in cursors if states[one.symbol].reading_ms == close_ms}
        values = {symbol: state.open_interest_base for symbol, state in streamed.items()} | fetched
        due = [cursor for cursor in cursors if cursor.symbol in values and cursor.reading_ms < close_ms]
        return [cursor.reading(close_ms, values[cursor.symbol]) for cursor in due]
