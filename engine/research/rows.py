"""Tables as the rows of one structured array, merged by time without a Python object a row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.core.codes import CANDLE, FUNDING, ON_TIME, OPEN_INTEREST, WARM_UP
from engine.core.state import Fact
from engine.research.records import Array, dtype_of

if TYPE_CHECKING:
    from array import array

    from engine.feeds.columns import CandleColumns, SeriesColumns
    from engine.research.tape import Tape

FACT_TYPE = dtype_of(Fact)
BLOCK_ROWS = 4_096


def floats(column: array[float]) -> Array:
    """A column of plain floats as an array over the same memory."""
    return np.frombuffer(column)


def rows_of(tape: Tape) -> Array:
    """All facts of a tape: candles by their close in the symbols' order, then funding, then open interest."""
    parts = [_candle_rows(symbol, table, tape) for symbol, table in enumerate(tape.candles)]
    for kind, tables in ((FUNDING, tape.funding), (OPEN_INTEREST, tape.open_interest)):
        for symbol, series in enumerate(tables):
            if series is not None:
                parts.append(_series_rows(kind, symbol, series, tape.end_ms))
    if len(parts) == 1:
        return parts[0]
    rows = np.concatenate(parts)
    return rows[np.lexsort((rows["symbol"], rows["kind"], rows["time_ms"]))].view(np.recarray)


def _candle_rows(symbol: int, table: CandleColumns, tape: Tape) -> Array:
    """One symbol's candles, a block that fits the cache at a time: a column of wide rows is slow to write."""
    opens = np.frombuffer(table.open_time_ms, dtype=np.int64)
    count = len(opens) if tape.end_ms is None else int(np.searchsorted(opens, tape.end_ms))
    columns = [np.frombuffer(column, dtype=np.float64) for column in table.values()]
    rows = np.empty(count, dtype=FACT_TYPE)
    for first in range(0, count, BLOCK_ROWS):
        block, part = rows[first : first + BLOCK_ROWS], slice(first, min(count, first + BLOCK_ROWS))
        block["kind"] = CANDLE
        block["symbol"] = symbol
        block["timing"] = ON_TIME if tape.start_ms is None else np.where(opens[part] < tape.start_ms, WARM_UP, ON_TIME)
        block["open_time_ms"] = opens[part]
        block["time_ms"] = opens[part] + table.timeframe_ms
        for name, column in zip(("open", "high", "low", "close", "volume"), columns, strict=True):
            block[name] = column[part]
    return rows.view(np.recarray)


def _series_rows(kind: int, symbol: int, series: SeriesColumns, end_ms: int | None) -> Array:
    """One symbol's settlements or readings."""
    times = np.frombuffer(series.time_ms, dtype=np.int64)
    count = len(times) if end_ms is None else int(np.searchsorted(times, end_ms))
    rows = np.zeros(count, dtype=FACT_TYPE).view(np.recarray)
    rows["kind"] = kind
    rows["symbol"] = symbol
    rows["open_time_ms"] = times[:count]
    rows["time_ms"] = times[:count]
    rows["close"] = np.frombuffer(series.value, dtype=np.float64)[:count]
    return rows
