"""Bitget as a download source, over the client of the live feed."""

from __future__ import annotations

from typing import Final

from papertape.engine.feeds.bitget.rest import BitgetRest
from papertape.engine.feeds.bitget.settings import BITGET, BitgetSettings
from papertape.engine.feeds.download.download import WINDOW_ROWS
from papertape.engine.feeds.download.partial_file import DownloadKind, DownloadRequest, Row
from papertape.engine.ports.clock import Clock
from papertape.engine.ports.feed import RefusalLog
from papertape.events.units import HOUR_MS

SEARCH_HOURS: Final = 990
"""Five pages of hours: through an empty range this is sixty times as fast as a search by minutes."""
FUNDING_REACH: Final = "Bitget keeps settlements for about 90 days"


class BitgetSource:
    """The history of Bitget's USDT perpetuals."""

    name = BITGET

    def __init__(self, settings: BitgetSettings, clock: Clock) -> None:
        self.refusals = RefusalLog()
        self._rest = BitgetRest(settings, clock, self.refusals)

    async def close(self) -> None:
        """Close the connections."""
        await self._rest.close()

    async def now_ms(self) -> int:
        """Return the server's time, UTC ms."""
        return await self._rest.server_time_ms()

    async def rows(self, request: DownloadRequest, from_ms: int, until_ms: int) -> list[Row]:
        """Return the closed rows with from <= time < until, rising."""
        if request.kind is DownloadKind.FUNDING:
            settlements = await self._rest.settlements(request.symbol, from_ms)
            return [(one.time_ms, (one.rate,)) for one in settlements if one.time_ms < until_ms]
        if request.kind is DownloadKind.MARK:
            marks = await self._rest.mark_candles(request.symbol, from_ms, until_ms, request.timeframe_ms)
            return [(row.open_time_ms, (row.open, row.high, row.low, row.close)) for row in marks]
        candles = await self._rest.candles(request.symbol, from_ms, until_ms, request.timeframe_ms)
        return [(row.open_time_ms, (row.open, row.high, row.low, row.close, row.volume)) for row in candles]

    async def find_next_rows(self, request: DownloadRequest, from_ms: int, until_ms: int) -> tuple[bool, int]:
        """Search the next hour with a candle, and resume one hour before it: a listing's first hour may be missing.

        The newest hours are not searched.
        """
        known_ms = min(until_ms, self._rest.server_now_ms() - 2 * HOUR_MS) // HOUR_MS * HOUR_MS
        begin_ms = from_ms // HOUR_MS * HOUR_MS
        end_ms = min(begin_ms + SEARCH_HOURS * HOUR_MS, known_ms)
        if request.kind is DownloadKind.FUNDING or end_ms - HOUR_MS <= from_ms:
            return True, from_ms
        fetch = self._rest.mark_candles if request.kind is DownloadKind.MARK else self._rest.candles
        hours = await fetch(request.symbol, begin_ms, end_ms, HOUR_MS)
        next_ms = hours[0].open_time_ms if hours else end_ms
        return bool(hours), max(from_ms, next_ms - HOUR_MS)

    def window_ms(self, request: DownloadRequest) -> int:
        """Return the window of one call; settlements come all at once."""
        return 1 << 50 if request.kind is DownloadKind.FUNDING else WINDOW_ROWS * request.timeframe_ms

    def history_limit(self, kind: DownloadKind) -> str:
        """Describe how far back Bitget keeps a kind."""
        return FUNDING_REACH if kind is DownloadKind.FUNDING else "not listed, or older than what Bitget keeps"
