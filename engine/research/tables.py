"""The quickest reader for clean candle files: a compiled loop over the text, if the compiler is loaded anyway.

A number is read as a whole number of units of its last decimal, divided by a power of ten. Both are exact floats here,
so one division rounds once, and the result is the very float that Python reads. Numbers with more digits are left to
the other readers, as is every doubtful row.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from papertape.engine.feeds.candle_row import PRICE_USDT_MAX, TIME_MS_MAX, TIME_MS_MIN
from papertape.engine.feeds.files import csv_polars
from papertape.engine.feeds.files.columns import CandleColumns
from papertape.engine.research.numba_callees import make_loop

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable

    from papertape.engine.feeds.files.table_source import TableText
    from papertape.engine.research.records import Array

COMMA, NEWLINE, POINT, ZERO, NINE = b",\n.09"
DIGITS_MAX: Final = 18
"""More could be no int64."""
EXACT_MAX: Final = 1 << 53
"""Up to here every whole number is a float."""
POWERS: Final = np.array([10.0**decimals for decimals in range(DIGITS_MAX + 1)])
"""Each is exact: powers of ten are up to 1e22."""
FIELDS: Final = 6
LAST: Final = FIELDS - 1
ROW_BYTES_MIN: Final = 2 * FIELDS
"""A digit and what ends it, six times."""


def candles(table: TableText, grid_ms: int) -> CandleColumns | None:
    """Return the candles of a table without any doubtful row, else None; leave numbers with many digits to polars."""
    return compiled_candles(table, grid_ms) or csv_polars.candles(table, grid_ms)


def compiled_candles(table: TableText, grid_ms: int) -> CandleColumns | None:
    """Return the candles without polars: None also for a number with more digits than can be divided exactly."""
    count = table.row_count
    if count < csv_polars.ROWS_MIN or len(table.rows) < count * ROW_BYTES_MIN:
        return None
    columns = CandleColumns(table.source, grid_ms)
    times, *values = (_room(into, count) for into in (columns.open_time_ms, *columns.values()))
    text = np.frombuffer(table.rows, dtype=np.uint8)
    decimals = np.zeros(1, dtype=np.int64)
    limits = (TIME_MS_MIN, TIME_MS_MAX, PRICE_USDT_MAX)
    if _loop()(text, grid_ms, *limits, POWERS, decimals, times, *values) != count:
        return None
    columns.price_decimals = int(decimals[0])
    columns.line.extend(table.line_numbers(count))
    return columns


def _room(into: array[Any], count: int) -> Array:
    """Extend a column to that length; return its memory as an array."""
    into.frombytes(bytes(8 * count))
    return np.frombuffer(into, dtype=np.int64 if into.typecode == "q" else np.float64)


@cache
def _loop() -> Callable[..., int]:
    """Return the compiled reader."""
    return make_loop(_read, "")


def _read(
    text: Any,
    grid_ms: int,
    first_ms: int,
    last_ms: int,
    price_usdt_max: float,
    powers: Any,
    price_decimals: Any,
    times: Any,
    opens: Any,
    highs: Any,
    lows: Any,
    closes: Any,
    volumes: Any,
) -> int:
    """Read rows into columns, and the most decimals of a price; return the number of rows, or -1 for a doubtful one."""
    at, end, count, newest_ms = 0, len(text), 0, first_ms - 1
    while at < end and count < len(times):
        for field in range(FIELDS):
            units, digits, whole_digits = 0, 0, -1
            while at < end:
                byte = text[at]
                if ZERO <= byte <= NINE and digits < DIGITS_MAX:
                    units = units * 10 + (byte - ZERO)
                    digits += 1
                elif byte == POINT and whole_digits < 0 < digits:
                    whole_digits = digits
                else:
                    break
                at += 1
            decimals = 0 if whole_digits < 0 else digits - whole_digits
            if digits == 0 or (decimals == 0 and whole_digits >= 0):
                return -1
            if (at == end and field < LAST) or (at < end and text[at] != (NEWLINE if field == LAST else COMMA)):
                return -1
            at += 1
            if field == 0:
                if decimals > 0 or units <= newest_ms or units > last_ms or units % grid_ms != 0:
                    return -1
                newest_ms = units
                times[count] = units
                continue
            if field < LAST and decimals > price_decimals[0]:
                price_decimals[0] = decimals
            while units >= EXACT_MAX and decimals > 0 and units % 10 == 0:
                units //= 10
                decimals -= 1
            if units >= EXACT_MAX:
                return -1
            value = units / powers[decimals]
            if field == 1:
                opens[count] = value
            elif field == 2:
                highs[count] = value
            elif field == 3:
                lows[count] = value
            elif field == 4:
                closes[count] = value
            else:
                volumes[count] = value
        low, high = lows[count], highs[count]
        if (
            high > price_usdt_max
            or low <= 0.0
            or low > min(opens[count], closes[count])
            or high < max(opens[count], closes[count])
        ):
            return -1
        count += 1
    return count if at >= end else -1
