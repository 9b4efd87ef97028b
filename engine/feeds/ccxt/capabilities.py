"""What a live market requires of a ccxt exchange, and what it can do without."""

from __future__ import annotations

from typing import Any, Final

from papertape.events.errors import ConfigError
from papertape.events.units import TIMEFRAME_NAMES

NEEDED: Final = {
    "fetchMarkets": "list of contracts",
    "fetchTime": "time",
    "fetchOHLCV": "past candles",
    "fetchFundingRateHistory": "past funding settlements",
}
UNSTREAMED: Final = ("kucoin", "kucoinfutures")
"""ccxt notes that the volumes of their candle streams are wrong."""
PUBLIC_TIERS: Final = ("bitget", "bybit", "gate", "kucoin", "kucoinfutures")
"""Their margin tiers need no key, and ccxt gives their limits in the quote currency (OKX's are in contracts)."""


def is_streamed(exchange: Any) -> bool:
    """Return whether candles are streamed; otherwise each is requested once it has closed."""
    return bool(exchange.has.get("watchOHLCV")) and exchange.id not in UNSTREAMED


def has_open_interest(exchange: Any) -> bool:
    """Return whether open interest can be requested."""
    return bool(exchange.has.get("fetchOpenInterest"))


def has_tiers(exchange: Any) -> bool:
    """Return whether the exchange publishes its margin tiers in the quote currency."""
    return exchange.id in PUBLIC_TIERS


def refuse_unfit(exchange: Any, timeframe_ms: int) -> None:
    """Raise ConfigError, naming everything required that the exchange lacks."""
    lacking = [f"{meaning} ({name})" for name, meaning in NEEDED.items() if not exchange.has.get(name)]
    if TIMEFRAME_NAMES[timeframe_ms] not in (exchange.timeframes or ()):
        lacking.append(f"candles of {TIMEFRAME_NAMES[timeframe_ms]}")
    if lacking:
        raise ConfigError(f"feed.ccxt.exchange: {exchange.id} has no {', no '.join(lacking)} in ccxt")


def lacks(exchange: Any) -> list[str]:
    """Return, in words, which optional features the exchange lacks."""
    found = []
    if not is_streamed(exchange):
        found.append(f"{exchange.id} streams no candles: each is requested once it has closed")
    if not has_open_interest(exchange):
        found.append(f"{exchange.id} publishes no open interest: strategies that use it are refused")
    if not has_tiers(exchange):
        found.append(f"{exchange.id} publishes no margin tiers: half of the initial margin at the highest leverage")
    return found
