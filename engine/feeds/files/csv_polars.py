"""The quick reader for large clean candle files, used when polars and numpy can be imported.

It takes a file only when every single row is beyond doubt, and then gives the very arrays the plain reader
gives, bit for bit. In every other case it gives None, and the plain reader names lines and reasons.
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
"""Below this the plain reader is as quick as loading polars."""

_PLAIN_BYTES = b"0123456789.,-\n"
_FLOAT_COLUMNS = ("open", "high", "low", "close", "volume")


def candles(table: TableText, grid_ms: int) -> CandleColumns | None:
    """The candles of a table without any doubtful row, or None: then the plain reader has to look."""
    rows, expected = table.rows, rows_of(table)
    if expected < ROWS_MIN or rows.translate(None, _PLAIN_BYTES):
        return None
    frame = _parsed(rows)
    if frame is None or frame.height != expected or not _beyond_doubt(frame, grid_ms):
        return None
    columns = CandleColumns(table.source, grid_ms)
    _fill(columns.open_time_ms, frame["open_time_ms"])
    columns.line.extend(table.line_numbers(expected))
    for name, into in zip(_FLOAT_COLUMNS, columns.values(), strict=True):
        _fill(into, frame[name])
    return columns


def rows_of(table: TableText) -> int:
    """How many rows a table has, whatever is in them."""
    return table.rows.count(b"\n") + (not table.rows.endswith(b"\n"))


def _parsed(rows: bytes) -> pl.DataFrame | None:
    try:
        import polars as pl  # noqa: PLC0415  (an extra: this module must be importable without it)
    except ImportError:
        return None
    if find_spec("numpy") is None:  # polars hands its numbers over through it.
        return None
    schema = {"open_time_ms": pl.Int64(), **dict.fromkeys(_FLOAT_COLUMNS, pl.Float64())}
    try:
        return pl.read_csv(rows, has_header=False, schema=schema, quote_char=None)
    except (pl.exceptions.PolarsError, ValueError):
        return None


def _beyond_doubt(frame: pl.DataFrame, grid_ms: int) -> bool:
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
    # An empty field is null, and null is neither true nor false: it has to count as doubt.
    return bool(frame.select((good & rising).fill_null(value=False).all()).item())


def _fill(into: array[int] | array[float], values: pl.Series) -> None:
    into.frombytes(values.to_numpy().tobytes())
