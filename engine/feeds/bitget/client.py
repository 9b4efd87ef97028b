"""Bitget as a live session sees it: its REST service and its public socket."""

from __future__ import annotations

from collections.abc import Sequence

from papertape.engine.feeds.bitget.connection import ARGS_AN_HOUR_MAX, StreamConnection
from papertape.engine.feeds.bitget.rest import BitgetRest
from papertape.engine.feeds.bitget.settings import BITGET, BitgetSettings
from papertape.engine.feeds.live.exchange import OpenInterestSource
from papertape.engine.feeds.live.stream_state import StreamState
from papertape.engine.ports.clock import Clock
from papertape.engine.ports.feed import RefusalLog


class BitgetClient(BitgetRest):
    """Both services of one market."""

    name = BITGET
    section = "feed.bitget"
    product = "USDT-margined perpetual"
    lacks: Sequence[str] = ()
    open_interest_source = OpenInterestSource.STREAMED

    def __init__(self, settings: BitgetSettings, clock: Clock, refusals: RefusalLog) -> None:
        super().__init__(settings, clock, refusals)
        self._settings = settings
        self.address = settings.rest_url
        connections = -(-len(settings.symbols) // settings.symbols_a_connection)
        self.limits = (
            f"{connections} of 100 connections, at most {settings.requests_per_s:g} of 20 REST requests per second, "
            f"at most {ARGS_AN_HOUR_MAX} of 240 subscriptions per hour and connection"
        )

    def connection(self, symbols: Sequence[str], stream_state: StreamState) -> StreamConnection:
        """Return a connection for some symbols, not yet open."""
        return StreamConnection(symbols, self._settings, self._clock, self.server_now_ms, stream_state)
