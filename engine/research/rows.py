"""Tables as the rows of one structured array, merged by time without a Python object a row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.core.codes import CANDLE, FUNDING, ON_TIME, OPEN_INTEREST, WARM_UP
from engine.core.state import Fact
from engine.research.records import Array, dtype_of

if TYPE_CHECKING:
    from engine.feeds.columns import CandleColumns, SeriesColumns
    from engine.research.tape import Tape

FACT_TYPE = dtype_of(Fact)


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
    """One symbol's candles."""
    opens = np.frombuffer(table.open_time_ms, dtype=np.int64)
    count = len(opens) if tape.end_ms is None else int(np.searchsorted(opens, tape.end_ms))
    rows = np.zeros(count, dtype=FACT_TYPE).view(np.recarray)
    rows["kind"] = CANDLE
    rows["symbol"] = symbol
    rows["open_time_ms"] = opens[:count]
    rows["time_ms"] = opens[:count] + table.timeframe_ms
    if tape.start_ms is not None:
        rows["timing"] = np.where(opens[:count] < tape.start_ms, WARM_UP, ON_TIME)
    for name, column in zip(("open", "high", "low", "close", "volume"), table.values(), strict=True):
        rows[name] = np.frombuffer(column, dtype=np.float64)[:count]
    return rows


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
