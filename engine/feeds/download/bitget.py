"""Bitget as a download sees it, over the client that the live feed uses."""

from __future__ import annotations

from typing import Final

from papertape.engine.feeds.bitget.rest import BitgetRest
from papertape.engine.feeds.bitget.settings import BITGET, BitgetSettings
from papertape.engine.feeds.download.download import WINDOW_ROWS
from papertape.engine.feeds.download.partial_file import DownloadKind, DownloadRequest, Row
from papertape.engine.ports.clock import Clock
from papertape.engine.ports.feed import RefusalLog
from papertape.events.units import HOUR_MS

LOOK_HOURS: Final = 990
"""Five pages of hours: where there is nothing, this goes sixty times as quick as looking for minutes."""
FUNDING_REACH: Final = "Bitget keeps settlements for about 90 days"


class BitgetSource:
    """The history of Bitget's USDT perpetuals."""

    name = BITGET

    def __init__(self, settings: BitgetSettings, clock: Clock) -> None:
        self.refusals = RefusalLog()
        self._rest = BitgetRest(settings, clock, self.refusals)

    async def close(self) -> None:
        """Give the connections back."""
        await self._rest.close()

    async def now_ms(self) -> int:
        """The server's clock, UTC ms."""
        return await self._rest.server_time_ms()

    async def rows(self, wanted: DownloadRequest, from_ms: int, until_ms: int) -> list[Row]:
        """Closed rows with from <= time < until, rising."""
        if wanted.kind is DownloadKind.FUNDING:
            settled = await self._rest.settlements(wanted.symbol, from_ms)
            return [(one.time_ms, (one.rate,)) for one in settled if one.time_ms < until_ms]
        if wanted.kind is DownloadKind.MARK:
            marks = await self._rest.mark_candles(wanted.symbol, from_ms, until_ms, wanted.timeframe_ms)
            return [(row.open_time_ms, (row.open, row.high, row.low, row.close)) for row in marks]
        candles = await self._rest.candles(wanted.symbol, from_ms, until_ms, wanted.timeframe_ms)
        return [(row.open_time_ms, (row.open, row.high, row.low, row.close, row.volume)) for row in candles]

    async def find_next_rows(self, wanted: DownloadRequest, from_ms: int, until_ms: int) -> tuple[bool, int]:
        """Look for the next hour that has a candle, and go on one hour before it: that of a listing may be left out.

        The newest hours are not looked at.
        """
        known_ms = min(until_ms, self._rest.server_now_ms() - 2 * HOUR_MS) // HOUR_MS * HOUR_MS
        begin_ms = from_ms // HOUR_MS * HOUR_MS
        end_ms = min(begin_ms + LOOK_HOURS * HOUR_MS, known_ms)
        if wanted.kind is DownloadKind.FUNDING or end_ms - HOUR_MS <= from_ms:
            return True, from_ms
        ask = self._rest.mark_candles if wanted.kind is DownloadKind.MARK else self._rest.candles
        hours = await ask(wanted.symbol, begin_ms, end_ms, HOUR_MS)
        next_ms = hours[0].open_time_ms if hours else end_ms
        return bool(hours), max(from_ms, next_ms - HOUR_MS)

    def window_ms(self, wanted: DownloadRequest) -> int:
        """Settlements come all at once."""
        return 1 << 50 if wanted.kind is DownloadKind.FUNDING else WINDOW_ROWS * wanted.timeframe_ms

    def history_limit(self, kind: DownloadKind) -> str:
        """How far back Bitget keeps a kind."""
        return FUNDING_REACH if kind is DownloadKind.FUNDING else "not listed, or older than what Bitget keeps"
