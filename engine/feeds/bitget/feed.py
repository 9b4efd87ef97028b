"""Bitget's USDT-margined perpetuals as a live feed."""

from __future__ import annotations

from papertape.engine.feeds.bitget.client import BitgetClient
from papertape.engine.feeds.bitget.settings import BITGET, BitgetSettings
from papertape.engine.feeds.live.feed import LiveFeed
from papertape.engine.ports.clock import Clock


class BitgetFeed(LiveFeed):
    """The live market of Bitget."""

    def __init__(self, settings: BitgetSettings, clock: Clock) -> None:
        super().__init__(BITGET, settings, clock)
        self._bitget = settings

    def client(self, clock: Clock) -> BitgetClient:
        """Return a client of Bitget. Nothing is connected yet."""
        return BitgetClient(self._bitget, clock, self.refusals)
