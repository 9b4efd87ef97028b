"""Read large clean candle files quickly, if polars and numpy can be imported.

This reader accepts a file only if every row is valid, and then returns the same arrays as the plain reader, bit for
bit. In any other case it returns None, and the plain reader names lines and reasons.
"""

from __future__ import annotations

from array import array
from importlib.util import find_spec
from math import inf
from typing import TYPE_CHECKING, Final

from papertape.engine.feeds.candle_row import PRICE_USDT_MAX, TIME_MS_MAX, TIME_MS_MIN
from papertape.engine.feeds.files.columns import CandleColumns
from papertape.engine.feeds.files.table_source import TableText

if TYPE_CHECKING:
    import polars as pl

ROWS_MIN: Final = 2_000
"""With fewer rows the plain reader is as fast as loading polars."""

_PLAIN_BYTES = b"0123456789.,-\n"
_FLOAT_COLUMNS = ("open", "high", "low", "close", "volume")


def candles(table: TableText, grid_ms: int) -> CandleColumns | None:
    """Return the candles of a table, or None if any row may be invalid: then the plain reader has to read it."""
    rows, expected = table.rows, table.row_count
    if expected < ROWS_MIN or rows.translate(None, _PLAIN_BYTES):
        return None
    frame = _parse(rows)
    if frame is None or frame.height != expected or not _all_valid(frame, grid_ms):
        return None
    columns = CandleColumns(table.source, grid_ms)
    _fill(columns.open_time_ms, frame["open_time_ms"])
    columns.line.extend(table.line_numbers(expected))
    for name, into in zip(_FLOAT_COLUMNS, columns.values(), strict=True):
        _fill(into, frame[name])
    return columns


def _parse(rows: bytes) -> pl.DataFrame | None:
    try:
        import polars as pl  # noqa: PLC0415  (an extra: this module must be importable without it)
    except ImportError:
        return None
    if find_spec("numpy") is None:  # polars passes its numbers through it.
        return None
    schema = {"open_time_ms": pl.Int64(), **dict.fromkeys(_FLOAT_COLUMNS, pl.Float64())}
    try:
        return pl.read_csv(rows, has_header=False, schema=schema, quote_char=None)
    except (pl.exceptions.PolarsError, ValueError):
        return None


def _all_valid(frame: pl.DataFrame, grid_ms: int) -> bool:
    from polars import col, lit  # noqa: PLC0415

    time = col("open_time_ms")
    good = (
        (time <= lit(TIME_MS_MAX))
        & (time % grid_ms == 0)
        & (col("low") > 0.0)
        & (col("low") <= col("open"))
        & (col("open") <= col("high"))
        & (col("low") <= col("close"))
        & (col("close") <= col("high"))
        & (col("high") <= PRICE_USDT_MAX)
        & (col("volume") >= 0.0)
        & (col("volume") < inf)
    )
    rising = (time.diff() > 0).fill_null(value=True) & (time >= TIME_MS_MIN)
    # An empty field is null, and null is neither true nor false: it has to count as invalid.
    return bool(frame.select((good & rising).fill_null(value=False).all()).item())


def _fill(into: array[int] | array[float], values: pl.Series) -> None:
    into.frombytes(values.to_numpy().tobytes())
