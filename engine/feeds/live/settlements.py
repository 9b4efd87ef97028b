"""Fetch funding settlements before the first candle that they may change.

A settlement at a full hour belongs to the candle that opens then, and the exchange shows it within a second. That
candle's minute is long enough to request the settlements of hundreds of symbols, so no candle waits for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from papertape.events.units import HOUR_MS, MINUTE_MS

if TYPE_CHECKING:
    from papertape.engine.feeds.live.exchange import LiveSettings
    from papertape.engine.feeds.live.history import History
    from papertape.engine.feeds.live.stream_state import StreamState
    from papertape.engine.feeds.live.symbol_cursor import SymbolCursor
    from papertape.engine.ports.clock import Clock
    from papertape.events.facts import MarketFact

SHOWN_MS: Final = 2_000
"""So long after its time a settlement is in the exchange's history, unless something is wrong there."""
ROUNDS_MAX: Final = 12
ROUND_EVERY_S: Final = 2.0
FETCH_S_MAX: Final = 20.0
LATE_MS_MAX: Final = 10 * MINUTE_MS
"""A settlement that the exchange does not show within this time is no longer expected: intervals may change."""


class SettlementFetcher:
    """Requests settlements. `now_ms` is the exchange's own time."""

    def __init__(
        self,
        history: History,
        stream_state: StreamState,
        clock: Clock,
        now_ms: Callable[[], int],
        settings: LiveSettings,
    ) -> None:
        self._history, self._stream_state, self._clock, self._now_ms = history, stream_state, clock, now_ms
        self._settings = settings

    async def fetch_before_close(self, cursors: Sequence[SymbolCursor], open_ms: int) -> list[MarketFact]:
        """Return what was settled up to the open of a forming candle; expected settlements are requested first.

        This also finds settlements that the ticker did not announce; nothing waits for those.
        """
        close_ms, hour_ms = open_ms + self._settings.timeframe_ms, open_ms - open_ms % HOUR_MS
        due = [cursor for cursor in cursors if cursor.settled_hour_ms < hour_ms or cursor.expects_settlement(open_ms)]
        if not due or self._now_ms() >= close_ms:
            return []
        await self._clock.sleep(max(0, hour_ms + SHOWN_MS - self._now_ms()) / 1_000.0)
        due.sort(key=lambda cursor: not cursor.expects_settlement(open_ms))
        return await self._fetch_settlements(due, open_ms, close_ms)

    async def fetch_after_close(self, cursors: Sequence[SymbolCursor], open_ms: int) -> list[MarketFact]:
        """Return the settlements without which a closed candle cannot be decided, requested in rounds up to a limit."""
        close_ms, hour_ms = open_ms + self._settings.timeframe_ms, open_ms - open_ms % HOUR_MS
        limit_ms = close_ms + int(self._settings.wait_s * 1_000)
        due = [cursor for cursor in cursors if cursor.expects_settlement(open_ms) or self._is_unheard(cursor, hour_ms)]
        facts: list[MarketFact] = []
        for round_ in range(ROUNDS_MAX):
            if not due or (round_ and self._now_ms() >= limit_ms):
                break
            if round_:
                await self._clock.sleep(ROUND_EVERY_S)
            facts += await self._fetch_settlements(due, open_ms, close_ms + int(FETCH_S_MAX * 1_000), hour_is_over=True)
            due = [cursor for cursor in due if cursor.expects_settlement(open_ms)]
        for cursor in cursors:
            self._update_expectation(cursor, open_ms)
        return facts

    def _is_unheard(self, cursor: SymbolCursor, hour_ms: int) -> bool:
        """Return whether neither the history nor the ticker has said anything about the symbol since the hour."""
        return cursor.settled_hour_ms < hour_ms and self._stream_state.symbols[cursor.symbol].announced_ms < hour_ms

    async def _fetch_settlements(
        self, due: Sequence[SymbolCursor], open_ms: int, until_ms: int, *, hour_is_over: bool = False
    ) -> list[MarketFact]:
        """Make one request for each symbol. With `hour_is_over` an answer without a settlement is conclusive."""
        close_ms, hour_ms = open_ms + self._settings.timeframe_ms, open_ms - open_ms % HOUR_MS
        settlements = await self._history.settlements(due, until_ms)
        facts: list[MarketFact] = []
        for cursor in due:
            if cursor.symbol in settlements:
                heard = hour_is_over or self._stream_state.symbols[cursor.symbol].announced_ms >= hour_ms
                cursor.settled_hour_ms = hour_ms if heard else cursor.settled_hour_ms
                facts += [cursor.settlement(one) for one in settlements[cursor.symbol] if one.time_ms < close_ms]
        return facts

    def _update_expectation(self, cursor: SymbolCursor, open_ms: int) -> None:
        """Take the ticker's next settlement, but keep the one before it until that is known."""
        next_ms = self._stream_state.symbols[cursor.symbol].next_settlement_ms
        known = cursor.funding_ms >= cursor.settles_ms or open_ms - cursor.settles_ms > LATE_MS_MAX
        moved = next_ms < cursor.settles_ms or cursor.settles_ms > self._now_ms() + self._settings.timeframe_ms
        if next_ms > open_ms and (known or moved):
            cursor.settles_ms = next_ms
