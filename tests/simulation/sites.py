"""The exchange and the chat behind the simulated network: the stand-ins of `papertape twin`, without their sockets.

The market is the simulated one, but the volume of a candle tells the strategy `scripted` what to do. Which candle does
is a function of seed, symbol and minute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import httpx
import msgspec

from papertape.engine.feeds.candle_row import CandleRow
from papertape.events.units import MINUTE_MS
from papertape.sandbox.bitget.market import SimTwinMarket, draw
from papertape.sandbox.bitget.rest import RestDelivery
from papertape.sandbox.bitget.twin import BitgetTwin
from papertape.sandbox.telegram.twin import TelegramTwin
from papertape.sandbox.telegram.wire import BotApiDelivery, Request
from tests.kernel.scripted.scripted import BUY, LEAVE, SELL
from tests.simulation.network import SentRequest, SentResponse

if TYPE_CHECKING:
    from collections.abc import Sequence

ENTRY_SHARE: Final = 0.30
EXIT_SHARE: Final = 0.20
SETTLED_PUSH_MS: Final = 2_050
EXCHANGE, CHAT = "exchange", "chat"


class ScriptedMarket(SimTwinMarket):
    """The simulated market with orders in the volumes of some candles."""

    def __init__(self, symbols: Sequence[str], script: int) -> None:
        super().__init__(symbols)
        self._script = script

    def candle(self, symbol: str, open_ms: int) -> CandleRow | None:
        """Return the candle, with the volume that means an order if this minute has one."""
        row = super().candle(symbol, open_ms)
        chance = draw("order", self._script, symbol, open_ms // MINUTE_MS)
        if row is None or chance >= ENTRY_SHARE + EXIT_SHARE:
            return row
        volume = LEAVE if chance >= ENTRY_SHARE else BUY if chance < ENTRY_SHARE / 2.0 else SELL
        return CandleRow(row.open_time_ms, row.open, row.high, row.low, row.close, volume)


class _Port:
    """A port that is open until it is closed."""

    def close(self) -> None:
        """Do nothing: the exchange forgets it."""


class SimulatedExchange(BitgetTwin):
    """The stand-in of the exchange, reached through the simulated network."""

    async def _listen(self) -> None:
        self._server = _Port()  # type: ignore[assignment]

    @property
    def is_open(self) -> bool:
        """Whether it accepts connections."""
        return self._server is not None

    def _next_candles_ms(self, now_ms: int) -> int:
        """Push once more where the real exchange does so many times: when the corrections of a candle are over."""
        settled_ms = now_ms // MINUTE_MS * MINUTE_MS + SETTLED_PUSH_MS
        next_ms = super()._next_candles_ms(now_ms)
        return min(next_ms, settled_ms) if now_ms < settled_ms else next_ms

    async def serve(self, request: SentRequest) -> SentResponse | None:
        """Answer a request of the REST pages."""
        reply = self.answer(request.target, "10.0.0.1")
        if reply.delivery is RestDelivery.NEVER:
            return None
        if reply.delivery is RestDelivery.RESET:
            raise httpx.ReadError("Connection reset by peer")
        is_cut = reply.delivery is RestDelivery.CUT
        return SentResponse(reply.status, reply.body, httpx.Headers(list(reply.headers)), is_cut)


class SimulatedChat(TelegramTwin):
    """The stand-in of the chat, likewise."""

    is_open = True

    async def serve(self, request: SentRequest) -> SentResponse | None:
        """Answer a request of the Bot API."""
        arguments: dict[str, Any] = msgspec.json.decode(request.content)
        reply = await self._answer(Request(request.target, arguments, {}))
        if reply.delivery is BotApiDelivery.NEVER:
            return None
        if reply.delivery is BotApiDelivery.RESET:
            raise httpx.ReadError("Connection reset by peer")
        return SentResponse(reply.status, reply.body, httpx.Headers(list(reply.headers)))
