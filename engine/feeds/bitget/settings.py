"""Where Bitget is found, what is watched there, and the limits that hold while watching.

All times are market seconds: against a stand-in that runs at `speed` times real time they pass that much faster.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from papertape.events.units import MINUTE_MS

BITGET: Final = "bitget"
REST_URL: Final = "https://api.bitget.com"
WS_URL: Final = "wss://ws.bitget.com/v2/ws/public"
DEFAULT_SYMBOLS: Final = ("BTCUSDT", "ETHUSDT", "SOLUSDT")


class BitgetSettings(Struct, frozen=True, kw_only=True):
    """One market of USDT-margined perpetuals. `speed` is market seconds a wall second: 1 on the real exchange."""

    symbols: tuple[str, ...] = DEFAULT_SYMBOLS
    timeframe_ms: int = MINUTE_MS
    rest_url: str = REST_URL
    ws_url: str = WS_URL
    groups: Mapping[str, str] = {}
    speed: float = 1.0

    warm_up_ms: int = 172_800_000
    """History before the first start, which feeds the indicators only."""
    catch_up_ms_max: int = 2_592_000_000
    """A longer absence is not fetched whole: what lies before is a hole."""

    requests_per_s: float = 10.0
    """Half of what the exchange allows one address."""
    request_timeout_s: float = 10.0
    body_bytes_max: int = 8_388_608
    frame_bytes_max: int = 1_048_576
    symbols_a_connection: int = 24
    """Two channels each stay below the 50 a connection that the exchange recommends."""

    settle_s: float = 2.0
    """A candle of the stream is final so long after its close, with the corrections that came meanwhile."""
    grace_s: float = 3.0
    """So long after its close a candle that the stream has not finished is asked for."""
    on_time_s: float = 30.0
    """A candle known so long after its close still opens positions; a later one is late."""
    wait_s: float = 25.0
    """So long most symbols wait for a few; where most are missing they are waited for until `declare_s`."""
    declare_s: float = 90.0
    """What is missing so long after its close is declared: the feed lost, or a symbol not tradable."""
    silence_s: float = 45.0
    """A connection or a channel without a message for so long is renewed."""
    rotate_s: float = 82_800.0
    """A connection is replaced before the exchange cuts it after 24 h."""
