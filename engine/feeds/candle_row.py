"""Parse candle rows strictly: whatever is not a finite, plausible number is refused with a reason."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import isfinite
from typing import Final

from msgspec import Struct

from papertape.engine.ports.feed import RefusalReason

TIME_MS_MIN: Final = 100_000_000_000
"""The year 1973: a smaller number is a time in seconds, or damage."""
TIME_MS_MAX: Final = 4_102_444_800_000
"""The year 2100: a larger number is a time in microseconds, or damage."""
PRICE_USDT_MAX: Final = 1e12
"""A higher price is treated as damage; a lower one can be counted in ticks."""
JUMP_FACTOR_MAX: Final = 3.0
"""A price more than this factor away from the last known one is treated as an error."""
CANDLE_FIELDS_MIN: Final = 6
"""Time, four prices, the volume in coins; sockets send 8 fields, REST 7."""
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")


class CandleRow(Struct, frozen=True, array_like=True):
    """A candle as the exchange writes it: open time in UTC ms, prices in USDT, volume in coins."""

    open_time_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float


def parse_number(text: object) -> float | RefusalReason:
    """Parse a finite number. Python's `float` would also accept nan, 1_000 and blanks."""
    if not isinstance(text, str):
        return RefusalReason.WRONG_SHAPE
    if _NUMBER.fullmatch(text) is None:
        named = text.strip("+-").lower() in ("nan", "inf", "infinity")
        return RefusalReason.NOT_FINITE if named else RefusalReason.NOT_A_NUMBER
    value = float(text)
    return value if isfinite(value) else RefusalReason.NOT_FINITE


def time_of(text: object) -> int | RefusalReason:
    """Parse a time in UTC ms between 1970 and 2100."""
    if not isinstance(text, str):
        return RefusalReason.WRONG_SHAPE
    if not text.isascii() or not text.isdigit():
        return RefusalReason.NOT_A_NUMBER
    return int(text) if len(text) <= 13 and int(text) <= TIME_MS_MAX else RefusalReason.TIME_OUT_OF_RANGE


def candle_row(fields: Sequence[object], timeframe_ms: int) -> CandleRow | RefusalReason:
    """Parse a candle from at least six texts, on the grid of its timeframe; return why it is invalid otherwise."""
    if len(fields) < CANDLE_FIELDS_MIN:
        return RefusalReason.WRONG_FIELD_COUNT
    open_time_ms = time_of(fields[0])
    if isinstance(open_time_ms, RefusalReason):
        return open_time_ms
    if open_time_ms % timeframe_ms != 0:
        return RefusalReason.OFF_GRID
    values: list[float] = []
    for field in fields[1:CANDLE_FIELDS_MIN]:
        value = parse_number(field)
        if isinstance(value, RefusalReason):
            return value
        values.append(value)
    return find_implausible(values) or CandleRow(open_time_ms, *values)


def find_implausible(values: Sequence[float]) -> RefusalReason | None:
    """Return why open, high, low, close and volume (all finite) cannot be true, or None."""
    open_, high, low, close, volume = values
    if min(open_, high, low, close) <= 0.0:
        return RefusalReason.NOT_POSITIVE
    if max(open_, high, low, close) > PRICE_USDT_MAX:
        return RefusalReason.PRICE_TOO_HIGH
    if volume < 0.0:
        return RefusalReason.NEGATIVE_VOLUME
    if high < low:
        return RefusalReason.HIGH_BELOW_LOW
    return RefusalReason.INCONSISTENT if high < max(open_, close) or low > min(open_, close) else None


def is_price_jump(price_usdt: float, known_usdt: float) -> bool:
    """Return whether a price lies absurdly far from the last known one; 0 means that none is known."""
    return known_usdt > 0.0 and not (known_usdt / JUMP_FACTOR_MAX <= price_usdt <= known_usdt * JUMP_FACTOR_MAX)
