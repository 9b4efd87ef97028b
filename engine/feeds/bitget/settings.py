"""The settings of the live feed: Bitget's addresses, the symbols to watch, and limits.

All times are market seconds: against a stand-in that runs at `speed` times real time, they pass that much faster.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from papertape.events.units import DAY_MS, MINUTE_MS

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

    warm_up_ms: int = 2 * DAY_MS
    """The history before the first start, which only warms up indicators."""
    catch_up_ms_max: int = 30 * DAY_MS
    """A longer absence is not fetched completely: what lies before is a hole."""

    requests_per_s: float = 10.0
    """Half of what the exchange allows one address."""
    request_timeout_s: float = 10.0
    body_bytes_max: int = 8_388_608
    frame_bytes_max: int = 1_048_576
    symbols_a_connection: int = 24
    """With two channels each they stay below the 50 channels a connection that the exchange recommends."""

    settle_s: float = 2.0
    """A streamed candle is final this long after its close, with the corrections that arrived meanwhile."""
    grace_s: float = 3.0
    """A candle that the stream has not finished this long after its close is requested from the history."""
    on_time_s: float = 30.0
    """A candle known this long after its close still opens positions; a later one is late."""
    wait_s: float = 25.0
    """Most symbols wait this long for a few. If most are missing, the feed waits for them until `declare_s`."""
    declare_s: float = 90.0
    """What is missing this long after its close is declared: the feed is lost, or a symbol is not tradable."""
    silence_s: float = 45.0
    """A connection or channel that was silent for this long is renewed."""
    rotate_s: float = 82_800.0
    """A connection is replaced before the exchange cuts it after 24 h."""
