"""The settings of Bitget's live feed: its addresses and limits."""

from __future__ import annotations

from typing import Final

from papertape.engine.feeds.live.exchange import LiveSettings

BITGET: Final = "bitget"
REST_URL: Final = "https://api.bitget.com"
WS_URL: Final = "wss://ws.bitget.com/v2/ws/public"


class BitgetSettings(LiveSettings, frozen=True, kw_only=True):
    """Bitget's USDT-margined perpetuals.

    The default of 10 requests a second is half of what the exchange allows one address. 24 symbols a connection, with
    two channels each, stay below the 50 channels that it recommends.
    """

    rest_url: str = REST_URL
    ws_url: str = WS_URL
    body_bytes_max: int = 8_388_608
    frame_bytes_max: int = 1_048_576
