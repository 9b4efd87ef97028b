"""The live market of a ccxt exchange as a feed."""

from __future__ import annotations

from typing import Any

from papertape.engine.feeds.ccxt.capabilities import refuse_unfit
from papertape.engine.feeds.ccxt.client import CcxtClient
from papertape.engine.feeds.ccxt.library import exchange_class
from papertape.engine.feeds.ccxt.settings import CcxtSettings
from papertape.engine.feeds.live.feed import LiveFeed
from papertape.engine.ports.clock import Clock


class CcxtFeed(LiveFeed):
    """The live market of one exchange. `kind` replaces ccxt's class for it."""

    def __init__(self, settings: CcxtSettings, clock: Clock, kind: type[Any] | None = None) -> None:
        """Raise UsageError without ccxt or for an unknown exchange, ConfigError for one that lacks a requirement."""
        self._kind = kind or exchange_class(settings.exchange, "feed.ccxt.exchange")
        exchange = self._kind()
        refuse_unfit(exchange, settings.timeframe_ms)
        super().__init__(exchange.id, settings, clock)
        self._ccxt = settings

    def client(self, clock: Clock) -> CcxtClient:
        """Return a client of the exchange. Nothing is connected yet."""
        return CcxtClient(self._kind, self._ccxt, clock, self.refusals)
