"""A served twin of the exchange in virtual time: its market, and a plain client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

from papertape.engine.feeds.candle_row import CandleRow
from papertape.events.units import DAY_MS, HOUR_MS, MINUTE_MS
from papertape.sandbox.bitget.market import SimTwinMarket, TwinContract
from papertape.sandbox.bitget.twin import BitgetTwin
from tests.sandbox.virtual_time import VirtualClock, run

START_MS = 20_600 * DAY_MS + 10 * HOUR_MS + 17_300
"""10:00:17.3 UTC of a day in 2026."""
BTC, ETH, PAPER = "BTCUSDT", "ETHUSDT", "PAPERUSDT"
MARKET = SimTwinMarket([BTC, ETH, PAPER], quiet={PAPER: 0.4})
FUTURES = {"productType": "USDT-FUTURES"}
PAGES = "/api/v2/mix/market/"
PING_S = 30.0
PLAIN = False
"""There is no TLS on loopback, and reading the certificates takes longer than most tests."""

Frame = dict[str, Any]


class FlatMarket:
    """The smallest market: nothing moves. It costs nothing, with any number of symbols."""

    step_ms = MINUTE_MS

    def __init__(self, symbols: Sequence[str]) -> None:
        self.symbols = tuple(symbols)

    def listing(self, symbol: str) -> TwinContract:
        return TwinContract(symbol, (1, 10), (1, 10), ((0.0, 1e6, 10, 0.01),))

    def candle(self, symbol: str, open_ms: int) -> CandleRow | None:  # noqa: ARG002
        return CandleRow(open_ms, 10.0, 10.0, 10.0, 10.0, 1.0)

    def mark_candle(self, symbol: str, open_ms: int) -> CandleRow | None:
        return self.candle(symbol, open_ms)

    def index_price(self, symbol: str, last_usdt: float, at_ms: int) -> float:  # noqa: ARG002
        return last_usdt

    def settled_rate(self, symbol: str, at_ms: int) -> float:  # noqa: ARG002
        return 0.0001

    def open_interest(self, symbol: str, at_ms: int) -> float:  # noqa: ARG002
        return 1_000.0


class TwinClient:
    """A plain client of a twin: a socket and the pages."""

    def __init__(self, socket: ClientConnection, http: httpx.AsyncClient, clock: VirtualClock) -> None:
        self.socket = socket
        self.http = http
        self.clock = clock
        self.pings = True
        self.pinged = 0.0

    async def page(self, name: str, **query: Any) -> httpx.Response:
        """A page of the market, of USDT futures unless said otherwise."""
        path = name if name.startswith("/") else PAGES + name
        return await self.http.get(path, params={**FUTURES, **query})

    async def data(self, name: str, **query: Any) -> Any:
        """What a good answer holds."""
        body = (await self.page(name, **query)).json()
        assert body["code"] == "00000", body
        return body["data"]

    async def request(self, op: str, *channels: tuple[str, str]) -> None:
        """Subscribe or unsubscribe channels of symbols."""
        await self.socket.send(json.dumps({"op": op, "args": [arg(*channel) for channel in channels]}))

    async def follow(self, *channels: tuple[str, str]) -> None:
        """Subscribe."""
        await self.request("subscribe", *channels)

    async def raw(self, seconds: float) -> list[str | bytes]:
        """Every message of the next virtual seconds, or until the connection ends."""
        return [message async for message in self.messages(seconds)]

    async def messages(self, seconds: float) -> AsyncIterator[str | bytes]:
        """The same, one by one; a ping is sent twice a minute, as one has to."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while loop.time() < until:
            if self.pings and loop.time() >= self.pinged + PING_S:
                self.pinged = loop.time()
                await self.socket.send("ping")
            try:
                async with asyncio.timeout_at(min(until, self.pinged + PING_S if self.pings else until)):
                    yield await self.socket.recv()
            except TimeoutError:
                continue

    async def frames(self, seconds: float) -> list[Frame]:
        """The JSON frames of the next virtual seconds."""
        return [json.loads(message) for message in await self.raw(seconds) if message != "pong"]

    async def updates(self, seconds: float, symbol: str = BTC, channel: str = "candle1m") -> list[Frame]:
        """Of these the updates of a channel."""
        frames = await self.frames(seconds)
        return [one for one in frames if one.get("action") == "update" and one["arg"] == arg(channel, symbol)]


def arg(channel: str, symbol: str) -> dict[str, str]:
    """What a subscription names."""
    return {"instType": "USDT-FUTURES", "channel": channel, "instId": symbol}


def serve_twin(
    use: Callable[[BitgetTwin, TwinClient], Awaitable[None]], start_ms: int = START_MS, **options: Any
) -> BitgetTwin:
    """Serve a twin in virtual time, let a client use it; the twin, for its counters."""
    market = options.pop("market", MARKET)

    async def main(clock: VirtualClock) -> BitgetTwin:
        async with BitgetTwin(market, clock, **options) as twin, connect_client(twin, clock) as client:
            await use(twin, client)
        return twin

    return run(main, start_ms)


@asynccontextmanager
async def connect_client(twin: BitgetTwin, clock: VirtualClock) -> AsyncIterator[TwinClient]:
    """A client of a twin."""
    async with httpx.AsyncClient(base_url=twin.rest_url, verify=PLAIN, trust_env=False) as http:
        socket = await connect(twin.ws_url, ping_interval=None, compression=None, max_queue=None, close_timeout=1)
        try:
            yield TwinClient(socket, http, clock)
        finally:
            await socket.close()


def rows_of(frames: Sequence[Frame]) -> list[list[str]]:
    """All rows of frames, in their order."""
    return [row for frame in frames for row in frame["data"]]


def values(row: Sequence[str]) -> tuple[float, ...]:
    """Open time, prices and volume of a row."""
    return tuple(map(float, row[:6]))
