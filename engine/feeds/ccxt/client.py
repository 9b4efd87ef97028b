"""One ccxt exchange as a live session sees it: its requests and its streams."""

from __future__ import annotations

from collections.abc import Sequence

from papertape.engine.feeds.ccxt.connection import CcxtConnection
from papertape.engine.feeds.ccxt.rest import CcxtRest
from papertape.engine.feeds.live.stream_state import StreamState


class CcxtClient(CcxtRest):
    """Both services of one exchange."""

    def connection(self, symbols: Sequence[str], stream_state: StreamState) -> CcxtConnection:
        """Return a connection for some symbols, not yet open."""
        return CcxtConnection(symbols, self, self._settings, self._clock, stream_state)
