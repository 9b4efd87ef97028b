"""A stand-in of the exchange as a process of its own: `python -m benchmarks.exchange SYMBOLS`; it ends with stdin."""

from __future__ import annotations

import asyncio
import sys

from benchmarks.market import drawn_symbols
from engine.clock import SystemClock
from tests.twins.bitget import Twin
from tests.twins.bitget_market import SimTwinMarket
from tests.twins.bitget_venue import Manner

UPDATE_MS = 500
TICKER_MS = 5_000


async def serve(symbols: int) -> None:
    """Serve until nobody holds the other end of stdin."""
    market = SimTwinMarket(drawn_symbols(symbols))
    async with Twin(market, SystemClock(), manner=Manner(update_ms=UPDATE_MS, ticker_ms=TICKER_MS)) as twin:
        print(twin.rest_url, twin.ws_url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
