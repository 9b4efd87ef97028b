"""Derive the symbol from a file's name: our own format, and those of freqtrade, Binance and Bybit.

A name that could mean two symbols gives no symbol, so that two coins never become one.
"""

from __future__ import annotations

import re
from typing import Final

SYMBOL_PATTERN: Final = r"[^\W_a-z](?:[^\W_a-z]|[.-])*"
"""Capital letters and digits, as in exchange symbols, and letters of other scripts, as in 币安人生USDT."""

_WORD = r"[^\W_a-z]+"
_QUOTE = r"(?:USDT|USDC|FDUSD|BUSD|TUSD|USDE|USD|EUR|BTC|ETH|BNB)"
_TIMEFRAME = r"\d+(?:[smhdwM]|mo)"
_KIND = rf"(?:{_TIMEFRAME}|\d+|fundingRate|metrics|klines)"
_DATE = r"\d{4}[_-]?\d{2}(?:[_-]?\d{2})?"
_FREQTRADE = re.compile(
    rf"(?P<base>{_WORD})_(?P<quote>{_QUOTE})(?:_{_WORD})?-{_TIMEFRAME}(?:-(?:futures|mark|funding_rate|spot))?\..+"
)
_PAIR_FIRST = re.compile(
    rf"(?P<symbol>{_WORD}?{_QUOTE})(?:[_-]{_KIND}(?:[_-]{_DATE}){{0,2}}|[_-]?{_DATE}(?:[_-]{_DATE})?)\..+"
)
_EXCHANGE_FIRST = re.compile(
    rf"(?=[^_]*[a-z])[^_]+_(?P<symbol>{SYMBOL_PATTERN})(?:_(?P<quote>{_QUOTE}))?(?:_{_QUOTE})?_(?P<rest>.+)"
)
_BARE = re.compile(rf"{_QUOTE}|[\d.-]+")
_OTHER_PAIR = re.compile(rf"(?<![^\W_]){_WORD}{_QUOTE}(?![^\W_])")


def symbol_of(name: str) -> str | None:
    """Return the symbol of a file named `exchange_SYMBOL_kind_...` or as known tools name files, else None."""
    if match := _FREQTRADE.fullmatch(name):
        return match["base"] + match["quote"]
    if match := _PAIR_FIRST.fullmatch(name):
        return None if _BARE.fullmatch(match["symbol"]) else match["symbol"]
    match = _EXCHANGE_FIRST.fullmatch(name)
    if match is None or (match["quote"] is None and _BARE.fullmatch(match["symbol"])):
        return None
    symbol = match["symbol"] + (match["quote"] or "")
    others = _OTHER_PAIR.findall(match["rest"])
    return symbol if all(other == symbol for other in others) else None
