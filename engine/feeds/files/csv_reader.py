"""Read candles, settlements and open interest from tables, and refuse invalid rows one by one.

A refused row is skipped, counted and kept with its line, reason and text; a refused candle leaves a hole. A file that
cannot be read as a whole raises `MarketDataError` with its name.

A quick reader reads large clean candle files: `engine.feeds.files.csv_polars` if polars is installed. Whenever
anything looks unusual to it, the reader here takes over, because it alone knows lines and reasons.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from itertools import pairwise, repeat
from math import inf, isfinite
from operator import le, lt, mod
from pathlib import Path
from statistics import median
from typing import Final

from papertape.engine.feeds.candle_row import PRICE_USDT_MAX, TIME_MS_MAX, TIME_MS_MIN, find_implausible
from papertape.engine.feeds.files import csv_polars
from papertape.engine.feeds.files.columns import CandleColumns, SeriesColumns, row_at
from papertape.engine.feeds.files.containers import broken_file_error
from papertape.engine.feeds.files.decimals import price_decimals
from papertape.engine.feeds.files.table_source import TableText, read_table
from papertape.engine.feeds.files.times import unit_before
from papertape.engine.ports.feed import RefusalLog, RefusalReason
from papertape.events.errors import MarketDataError
from papertape.events.units import MINUTE_MS, TIMEFRAME_NAMES

CANDLE_COLUMNS: Final = ("open_time_ms", "open", "high", "low", "close", "volume")
FUNDING_COLUMNS: Final = ("funding_time_ms", "rate")
OPEN_INTEREST_COLUMNS: Final = ("time_ms", "open_interest")

FUNDING_RATE_MAX: Final = 0.03
"""Exchanges cap a settlement at this rate; a larger one is a percentage or damage."""
PERCENT_RATE_MIN: Final = 0.005
"""A file with at least this median rate is assumed to contain percentages: 0.0001 is usual."""
CHUNK_ROWS_MAX: Final = 256
"""The number of rows that are parsed together; one invalid row makes its chunk be read row by row."""

QuickReader = Callable[[TableText, int], CandleColumns | None]
"""Returns the candles of a table on a grid of milliseconds if every row is valid, else None."""

ValueCheck = Callable[[float], RefusalReason | None]
"""Returns why a value of a series is refused, or None."""
_PERCENT_WORDS = "the rates look like percentages; write fractions, 0.0001 for 0.01 %"


def read_candles(
    path: Path, timeframe_ms: int | None = None, quick: QuickReader | None = csv_polars.candles
) -> CandleColumns:
    """Return the valid candles of a file, in time order, and what was refused.

    Unless it is given, the timeframe is the smallest difference of neighbouring open times in the first 1,000 rows.
    Raise `MarketDataError` if the file as a whole is not a table of candles.
    """
    table = read_table(path, CANDLE_COLUMNS)
    grid_ms = _timeframe_ms(table.source, table.probe()) if timeframe_ms is None else timeframe_ms
    columns = None if quick is None else quick(table, grid_ms)
    if columns is None:
        columns = CandleColumns(table.source, grid_ms)
        _parse_candles(table, columns)
    if not columns.open_time_ms:
        raise _no_good_row(table, columns.refusals)
    if columns.price_decimals < 0:
        columns.price_decimals = price_decimals(table, columns.line)
    columns.notes += table.notes
    columns.warnings += _mixed_units(table, columns.refusals)
    return columns


def read_funding(path: Path) -> SeriesColumns:
    """Return the settlements of a file: times truncated to the minute, rates as fractions.

    Raise `MarketDataError` if the file as a whole is not a table of settlements.
    """
    columns = _read_series(path, FUNDING_COLUMNS, MINUTE_MS, _rate_fault)
    if median(map(abs, columns.value)) >= PERCENT_RATE_MIN:
        columns.warnings.append(f"{columns.source}: {_PERCENT_WORDS}")
    return columns


def read_open_interest(path: Path) -> SeriesColumns:
    """Return the open interest readings of a file, in coins.

    Raise `MarketDataError` if the file as a whole is not a table of readings.
    """
    return _read_series(path, OPEN_INTEREST_COLUMNS, 1, _reading_fault)


def _parse_candles(table: TableText, into: CandleColumns) -> None:
    lines = _strict_lines(table)
    lines_at = table.line_numbers(len(lines))
    for first in range(0, len(lines), CHUNK_ROWS_MAX):
        chunk = lines[first : first + CHUNK_ROWS_MAX]
        numbers = lines_at[first : first + CHUNK_ROWS_MAX]
        if not _take_chunk(chunk, numbers, into):
            for line, text in zip(numbers, chunk, strict=True):
                _take_row(table.source, line, text, into)


def _take_chunk(chunk: list[str], lines: range, into: CandleColumns) -> bool:
    """Take the rows by column, several times as fast as by row; return False if any row may be invalid."""
    try:
        time_column, *value_columns = zip(*[text.split(",") for text in chunk], strict=True)
        times = array("q", list(map(int, time_column)))
        values = [array("d", list(map(float, column))) for column in value_columns]
    except (ValueError, OverflowError):
        return False
    if len(values) != len(CANDLE_COLUMNS) - 1 or not _all_valid(times, values, into):
        return False
    into.open_time_ms.extend(times)
    into.line.extend(lines)
    for column, taken in zip(into.values(), values, strict=True):
        column.extend(taken)
    return True


def _all_valid(times: array[int], values: list[array[float]], into: CandleColumns) -> bool:
    open_, high, low, close, volume = values
    newest_ms = into.open_time_ms[-1] if into.open_time_ms else TIME_MS_MIN - 1
    return (
        newest_ms < times[0]
        and times[-1] <= TIME_MS_MAX
        and all(map(lt, times, times[1:]))
        and not any(map(mod, times, repeat(into.timeframe_ms)))
        and all(map(lt, repeat(0.0), low))
        and all(map(le, low, open_))
        and all(map(le, low, close))
        and all(map(le, open_, high))
        and all(map(le, close, high))
        and all(map(le, high, repeat(PRICE_USDT_MAX)))
        and all(map(le, repeat(0.0), volume))
        and all(map(lt, volume, repeat(inf)))
    )


def _take_row(source: str, line: int, text: str, into: CandleColumns) -> None:
    fields = text.split(",")
    reason = _number_fault(fields, len(CANDLE_COLUMNS)) or _candle_fault(fields, into)
    if reason is None:
        into.open_time_ms.append(int(fields[0]))
        into.line.append(line)
        for column, value in zip(into.values(), fields[1:], strict=True):
            column.append(float(value))
    elif text.strip():  # An empty line loses nothing.
        into.refusals.refuse(source, line, reason, text)


def _candle_fault(fields: list[str], into: CandleColumns) -> RefusalReason | None:
    misplaced = _time_fault(int(fields[0]), into.timeframe_ms, into.open_time_ms)
    return misplaced or find_implausible([float(value) for value in fields[1:]])


def _number_fault(fields: list[str], count: int) -> RefusalReason | None:
    if len(fields) != count:
        return RefusalReason.WRONG_FIELD_COUNT
    try:
        numbers = [float(field) for field in fields]
        if all(isfinite(number) for number in numbers):
            int(fields[0])
    except ValueError:
        return RefusalReason.NOT_A_NUMBER
    return None if all(isfinite(number) for number in numbers) else RefusalReason.NOT_FINITE


def _time_fault(time_ms: int, grid_ms: int, times: array[int]) -> RefusalReason | None:
    if not TIME_MS_MIN <= time_ms <= TIME_MS_MAX:
        return RefusalReason.TIME_OUT_OF_RANGE
    if time_ms % grid_ms != 0:
        return RefusalReason.OFF_GRID
    if not times or time_ms > times[-1]:
        return None
    return RefusalReason.DUPLICATE if row_at(time_ms, times) >= 0 else RefusalReason.OUT_OF_ORDER


def _rate_fault(rate: float) -> RefusalReason | None:
    return RefusalReason.IMPLAUSIBLE_RATE if abs(rate) > FUNDING_RATE_MAX else None


def _reading_fault(open_interest: float) -> RefusalReason | None:
    return RefusalReason.NOT_POSITIVE if open_interest <= 0.0 else None


def _read_series(path: Path, names: tuple[str, ...], unit_ms: int, check: ValueCheck) -> SeriesColumns:
    table = read_table(path, names)
    columns = SeriesColumns(table.source, notes=table.notes)
    lines = _strict_lines(table)
    for line, text in zip(table.line_numbers(len(lines)), lines, strict=True):
        fields = text.split(",")
        if not text.strip():
            continue
        reason = _number_fault(fields, len(names)) or _add_reading(fields, line, unit_ms, check, columns)
        if reason is not None:
            columns.refusals.refuse(table.source, line, reason, text)
    if not columns.time_ms:
        raise _no_good_row(table, columns.refusals)
    columns.warnings += _mixed_units(table, columns.refusals)
    return columns


def _mixed_units(table: TableText, refusals: RefusalLog) -> list[str]:
    """Return a warning that names both units if a row was refused because its time is in another unit than most."""
    for one in refusals.kept:
        is_of_time = one.reason in (RefusalReason.TIME_OUT_OF_RANGE, RefusalReason.NOT_A_NUMBER)
        other = unit_before(table.unit, one.text.partition(",")[0].strip()) if is_of_time else None
        if other not in (None, table.unit):
            words = f"mixed units: most times are in {table.unit}, that of line {one.line} in {other}"
            return [f"{table.source}: {words}; write all times in one unit"]
    return []


def _no_good_row(table: TableText, refusals: RefusalLog) -> MarketDataError:
    """Return the error for a file without a valid row, with the reasons and how the file was read."""
    counts = ", ".join(f"{count} {reason.value}" for reason, count in sorted(refusals.counts.items()))
    reasons = f": {counts}" if counts else ""
    percent = f"; {_PERCENT_WORDS}" if RefusalReason.IMPLAUSIBLE_RATE in refusals.counts else ""
    words = f"; recognised {', '.join(table.words)}" if table.words else ""
    if not refusals.total:
        return broken_file_error(table.source, "no row below the header")
    return broken_file_error(table.source, f"no good row ({refusals.total} refused){reasons}{percent}{words}")


def _add_reading(
    fields: list[str], line: int, unit_ms: int, check: ValueCheck, into: SeriesColumns
) -> RefusalReason | None:
    time_ms, value = int(fields[0]) // unit_ms * unit_ms, float(fields[1])
    misplaced = _time_fault(time_ms, unit_ms, into.time_ms)
    if misplaced is RefusalReason.DUPLICATE and into.value[row_at(time_ms, into.time_ms)] == value:
        return None
    fault = misplaced or check(value)
    if fault is None:
        into.time_ms.append(time_ms)
        into.value.append(value)
        into.line.append(line)
    return fault


def _strict_lines(table: TableText) -> list[str]:
    # Python reads 1_000 as a number; a table that contains it is damaged.
    lines = table.lines()
    return lines if b"_" not in table.rows else [text.replace("_", "?") for text in lines]


def _timeframe_ms(source: str, probe: list[str]) -> int:
    # Only whole minutes count: otherwise a single damaged time would decide for the whole file.
    times = [int(text) for text in (line.partition(",")[0].strip() for line in probe) if text.isdecimal()]
    times = [time_ms for time_ms in times if time_ms % MINUTE_MS == 0 and time_ms <= TIME_MS_MAX]
    steps = [after - before for before, after in pairwise(times) if after > before]
    if times and not steps:
        raise broken_file_error(source, "the timeframe is unknown: fewer than two different open times")
    if steps and min(steps) not in TIMEFRAME_NAMES:
        allowed = " ".join(TIMEFRAME_NAMES.values())
        raise broken_file_error(source, f"the smallest step between rows is {min(steps)} ms, allowed are {allowed}")
    return min(steps, default=MINUTE_MS)
