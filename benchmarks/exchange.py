"""Serve a stand-in of the exchange until stdin closes: `python -m benchmarks.exchange SYMBOLS`."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from msgspec.structs import replace

from benchmarks.market import drawn_symbols
from papertape.engine.ports.clock import SystemClock
from papertape.sandbox.bitget.market import SimTwinMarket
from papertape.sandbox.bitget.twin import BitgetTwin
from papertape.sandbox.bitget.venue import ExchangeBehaviour

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.engine.feeds.candle_row import CandleRow

UPDATE_MS = 500
TICKER_MS = 5_000
MARKETS = 10


class ReplicatedSimMarket(SimTwinMarket):
    """Many symbols with the prices of the first few, so that the market's simulation costs little."""

    def __init__(self, symbols: Sequence[str]) -> None:
        super().__init__(symbols)
        self._sources = {symbol: symbols[number % MARKETS] for number, symbol in enumerate(symbols)}
        self._listings = {
            symbol: replace(self._listings[source], symbol=symbol) for symbol, source in self._sources.items()
        }

    def candle(self, symbol: str, open_ms: int) -> CandleRow | None:
        """Return the candle of the symbol it copies."""
        return super().candle(self._sources[symbol], open_ms)

    def settled_rate(self, symbol: str, at_ms: int) -> float:
        """Return the funding rate of the symbol it copies."""
        return super().settled_rate(self._sources[symbol], at_ms)

    def open_interest(self, symbol: str, at_ms: int) -> float:
        """Return the open interest of the symbol it copies."""
        return super().open_interest(self._sources[symbol], at_ms)


async def serve(symbols: int) -> None:
    """Serve until stdin closes."""
    market = ReplicatedSimMarket(drawn_symbols(symbols))
    async with BitgetTwin(
        market, SystemClock(), behaviour=ExchangeBehaviour(update_ms=UPDATE_MS, ticker_ms=TICKER_MS)
    ) as twin:
        print(twin.rest_url, twin.ws_url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
