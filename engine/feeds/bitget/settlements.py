"""Funding that was settled, known before the first candle that it may change.

A settlement at a full hour belongs to the candle that opens then, and the exchange shows it within a second: its
minute is long enough to ask for those of hundreds of symbols, so that no candle waits for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from papertape.events.units import HOUR_MS

if TYPE_CHECKING:
    from papertape.engine.feeds.bitget.history import History
    from papertape.engine.feeds.bitget.settings import BitgetSettings
    from papertape.engine.feeds.bitget.stream_state import StreamState
    from papertape.engine.feeds.bitget.symbol_cursor import Ranked, SymbolCursor
    from papertape.engine.ports.clock import Clock

SHOWN_MS: Final = 2_000
"""So long after its time a settlement is in the exchange's history for certain, unless something is wrong there."""
ROUNDS_MAX: Final = 12
ROUND_EVERY_S: Final = 2.0
ASK_S_MAX: Final = 20.0
LATE_MS_MAX: Final = 600_000
"""A settlement that the exchange does not show so long after its time is not waited for: intervals may change."""


class SettlementFetcher:
    """Asks for settlements. `now_ms` is the exchange's own time."""

    def __init__(
        self, past: History, board: StreamState, clock: Clock, now_ms: Callable[[], int], settings: BitgetSettings
    ) -> None:
        self._past, self._board, self._clock, self._now_ms = past, board, clock, now_ms
        self._settings = settings

    async def fetch_before_close(self, tracks: Sequence[SymbolCursor], open_ms: int) -> list[Ranked]:
        """While a candle forms: what was settled up to its open, until it closes. Whoever is expected goes first.

        Symbols that were settled against their ticker's word are found here too, and nobody waits for these.
        """
        close_ms, hour_ms = open_ms + self._settings.timeframe_ms, open_ms - open_ms % HOUR_MS
        due = [track for track in tracks if track.settled_hour_ms < hour_ms or track.expects_settlement(open_ms)]
        if not due or self._now_ms() >= close_ms:
            return []
        await self._clock.sleep(max(0, hour_ms + SHOWN_MS - self._now_ms()) / 1_000.0)
        due.sort(key=lambda track: not track.expects_settlement(open_ms))
        return await self._fetch_settlements(due, open_ms, close_ms)

    async def fetch_after_close(self, tracks: Sequence[SymbolCursor], open_ms: int) -> list[Ranked]:
        """When a candle has closed: what it cannot be decided on without, asked for in rounds up to a limit."""
        close_ms, hour_ms = open_ms + self._settings.timeframe_ms, open_ms - open_ms % HOUR_MS
        limit_ms = close_ms + int(self._settings.wait_s * 1_000)
        due = [track for track in tracks if track.expects_settlement(open_ms) or self._is_unheard(track, hour_ms)]
        ranked: list[Ranked] = []
        for round_ in range(ROUNDS_MAX):
            if not due or (round_ and self._now_ms() >= limit_ms):
                break
            if round_:
                await self._clock.sleep(ROUND_EVERY_S)
            ranked += await self._fetch_settlements(due, open_ms, close_ms + int(ASK_S_MAX * 1_000), whole=True)
            due = [track for track in due if track.expects_settlement(open_ms)]
        for track in tracks:
            self._expect(track, open_ms)
        return ranked

    def _is_unheard(self, track: SymbolCursor, hour_ms: int) -> bool:
        """Whether neither the exchange's history nor the ticker has said anything since the hour."""
        return track.settled_hour_ms < hour_ms and self._board.symbols[track.symbol].ticker_ms < hour_ms

    async def _fetch_settlements(
        self, due: Sequence[SymbolCursor], open_ms: int, until_ms: int, *, whole: bool = False
    ) -> list[Ranked]:
        """One question for each; `whole`: a minute after the hour even an answer without a word says enough."""
        close_ms, hour_ms = open_ms + self._settings.timeframe_ms, open_ms - open_ms % HOUR_MS
        found = await self._past.settlements(due, until_ms)
        ranked: list[Ranked] = []
        for track in due:
            if track.symbol in found:
                heard = whole or self._board.symbols[track.symbol].ticker_ms >= hour_ms
                track.settled_hour_ms = hour_ms if heard else track.settled_hour_ms
                ranked += [track.settlement(one) for one in found[track.symbol] if one.time_ms < close_ms]
        return ranked

    def _expect(self, track: SymbolCursor, open_ms: int) -> None:
        """When funding is settled next, as the ticker says; what it said before is not forgotten until it is known."""
        known_ms = self._board.symbols[track.symbol].next_settlement_ms
        known = track.funding_ms >= track.settles_ms or open_ms - track.settles_ms > LATE_MS_MAX
        moved = known_ms < track.settles_ms or track.settles_ms > self._now_ms() + self._settings.timeframe_ms
        if known_ms > open_ms and (known or moved):
            track.settles_ms = known_ms
