"""The sections of the live markets, and the settings they share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta, Struct

from papertape.engine.feeds.bitget.settings import REST_URL, WS_URL
from papertape.engine.feeds.files import symbol_names
from papertape.engine.feeds.live.exchange import DEFAULT_SYMBOLS
from papertape.events.units import DAY_MS, MINUTE_MS, TIMEFRAMES_MS

if TYPE_CHECKING:
    from collections.abc import Mapping

WAIT_SHARE = 0.8
"""Complete symbols wait for incomplete ones for this fraction of `on_time_s`."""
SYMBOL_PATTERN = rf"^{symbol_names.SYMBOL_PATTERN}$"
Symbol = Annotated[str, Meta(pattern=SYMBOL_PATTERN)]


class LiveSection(Struct, frozen=True):
    """What every live market has: symbols, and how long to wait for what."""

    symbols: Annotated[
        tuple[Symbol, ...], Meta(min_length=1, max_length=500, description="the symbols, in this order")
    ] = DEFAULT_SYMBOLS
    timeframe: Annotated[Literal["1m", "5m", "15m", "1h"], Meta(description="timeframe of the recorded candles")] = "1m"
    warm_up_days: Annotated[
        float,
        Meta(
            ge=0.0,
            le=60.0,
            description="history before the first start; 0: as much as the strategies need",
            extra={"unit": "days"},
        ),
    ] = 0.0
    catch_up_days_max: Annotated[
        float,
        Meta(
            gt=0.0, le=90.0, description="the longest absence whose candles are fetched later", extra={"unit": "days"}
        ),
    ] = 30.0
    requests_per_s: Annotated[
        float, Meta(ge=0.2, le=20.0, description="REST requests per second", extra={"unit": "1/s"})
    ] = 10.0
    request_timeout_s: Annotated[
        float, Meta(ge=1.0, le=60.0, description="the longest wait for an answer", extra={"unit": "s"})
    ] = 10.0
    symbols_a_connection: Annotated[int, Meta(ge=1, le=90, description="symbols per connection")] = 24
    settle_s: Annotated[
        float, Meta(ge=0.0, le=10.0, description="the wait for corrections of a closed candle", extra={"unit": "s"})
    ] = 2.0
    grace_s: Annotated[
        float,
        Meta(ge=0.0, le=20.0, description="the wait before an unfinished candle is requested", extra={"unit": "s"}),
    ] = 3.0
    on_time_s: Annotated[
        float, Meta(ge=5.0, le=55.0, description="a candle that arrives later opens no position", extra={"unit": "s"})
    ] = 30.0
    declare_s: Annotated[
        float, Meta(ge=20.0, le=120.0, description="a candle missing for longer is declared a gap", extra={"unit": "s"})
    ] = 90.0
    silence_s: Annotated[
        float, Meta(ge=10.0, le=60.0, description="a connection silent for longer is renewed", extra={"unit": "s"})
    ] = 45.0
    rotate_hours: Annotated[
        float, Meta(ge=0.1, le=23.9, description="a connection is replaced after this time", extra={"unit": "h"})
    ] = 23.0


class BitgetSection(LiveSection, frozen=True):
    """The live market of Bitget's USDT-margined perpetuals. It needs no key, and allows 20 requests per second."""

    rest_url: Annotated[str, Meta(min_length=1, description="address of the REST API")] = REST_URL
    ws_url: Annotated[str, Meta(min_length=1, description="address of the public WebSocket")] = WS_URL


class CcxtSection(LiveSection, frozen=True):
    """The live market of another exchange, through ccxt (extra `exchanges`). It needs no key."""

    exchange: Annotated[
        str, Meta(min_length=1, description="the exchange's name in ccxt, such as binanceusdm, bybit, okx, hyperliquid")
    ] = "binanceusdm"
    rest_url: Annotated[str, Meta(description="replaces the exchange's REST addresses; empty: its own")] = ""
    ws_url: Annotated[str, Meta(description="replaces the exchange's WebSocket addresses; empty: its own")] = ""


def common_settings(live: LiveSection, groups: Mapping[str, str], speed: float, warm_up_ms: int) -> dict[str, Any]:
    """Return the settings that all live feeds share."""
    return {
        "symbols": live.symbols,
        "timeframe_ms": TIMEFRAMES_MS.get(live.timeframe, MINUTE_MS),
        "groups": groups,
        "speed": speed,
        "warm_up_ms": int(live.warm_up_days * DAY_MS) or warm_up_ms,
        "catch_up_ms_max": int(live.catch_up_days_max * DAY_MS),
        "requests_per_s": live.requests_per_s,
        "request_timeout_s": live.request_timeout_s,
        "symbols_a_connection": live.symbols_a_connection,
        "settle_s": live.settle_s,
        "grace_s": live.grace_s,
        "on_time_s": live.on_time_s,
        "wait_s": live.on_time_s * WAIT_SHARE,
        "declare_s": live.declare_s,
        "silence_s": live.silence_s,
        "rotate_s": live.rotate_hours * 3_600.0,
    }
