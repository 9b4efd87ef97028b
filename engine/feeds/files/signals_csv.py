"""Read signals from tables with the columns `time_ms,symbol,name,value`, and refuse invalid rows one by one.

A file is a source of signals: its name is the source, and the time, symbol and name of a row are its id. Rows may be
sorted by time, or series by series.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Final

from msgspec import Struct

from papertape.engine.feeds.candle_row import TIME_MS_MAX, TIME_MS_MIN
from papertape.engine.feeds.files.columns import SeriesColumns, row_at
from papertape.engine.feeds.files.containers import broken_file_error
from papertape.engine.feeds.files.table_source import TableText, read_table
from papertape.engine.ports.feed import RefusalLog, RefusalReason
from papertape.engine.reducer.signals import NAMES_MAX, SOURCES_MAX
from papertape.events.facts import SIGNAL_NAME_PATTERN, SignalReceived
from papertape.events.signals import SOURCE_CHARS_MAX, row_id

SIGNAL_COLUMNS: Final = ("time_ms", "symbol", "name", "value")
SYMBOLS_SHOWN_MAX: Final = 5
_NAME: Final = re.compile(SIGNAL_NAME_PATTERN)


class SignalSeries(Struct):
    """The signals of one file for one symbol under one name, in time order."""

    symbol: str
    name: str
    source: str
    columns: SeriesColumns

    def event(self, row: int) -> SignalReceived:
        """Return the fact of a row."""
        time_ms = self.columns.time_ms[row]
        return self.event_of(time_ms, self.columns.value[row])

    def event_of(self, time_ms: int, value: float) -> SignalReceived:
        """Return the fact of a row with this time and value."""
        own_id = row_id(time_ms, self.symbol, self.name)
        return SignalReceived(time_ms, self.symbol, self.name, value, self.source, own_id)


class SignalTables(Struct):
    """The signals of several files, series by series in the order of their symbols; what was refused, and notes."""

    series: list[SignalSeries]
    refusals: RefusalLog
    notes: list[str]


def read_signals(paths: Sequence[Path], symbols: Sequence[str]) -> SignalTables:
    """Return the signals of these symbols; those of other symbols are counted in a note.

    A row that repeats the time, symbol and name of another file is ignored if its value is equal, and refused
    otherwise. Raise `MarketDataError` for a file that is no table of signals, holds none of these symbols, or has the
    name of another one, and for too many files or names.
    """
    tables = SignalTables([], RefusalLog(), [])
    for number, path in enumerate(paths):
        if path.name in {other.name for other in paths[:number]}:
            raise broken_file_error(str(path), "another file has this name, which is the source of its signals")
        _check_source(path, number)
        _add_file(read_table(path, SIGNAL_COLUMNS), path, symbols, tables)
    places = {symbol: place for place, symbol in enumerate(symbols)}
    tables.series.sort(key=lambda series: places[series.symbol])
    names = {series.name for series in tables.series}
    if len(names) > NAMES_MAX:
        raise broken_file_error(str(paths[-1]), f"{len(names)} names of signals are too many: at most {NAMES_MAX}")
    return tables


def _check_source(path: Path, number: int) -> None:
    if len(path.name) > SOURCE_CHARS_MAX:
        raise broken_file_error(str(path), f"its name has more than {SOURCE_CHARS_MAX} characters")
    if number >= SOURCES_MAX:
        raise broken_file_error(str(path), f"at most {SOURCES_MAX} files of signals can be read together")


def _add_file(table: TableText, path: Path, symbols: Sequence[str], tables: SignalTables) -> None:
    """Add the series of one file."""
    read, refusals = _parse(table)
    if not read:
        counts = ", ".join(f"{count} {reason.value}" for reason, count in sorted(refusals.counts.items()))
        reason = f"no good row ({refusals.total} refused): {counts}" if counts else "no row below the header"
        raise broken_file_error(table.source, reason)
    watched = {key: columns for key, columns in read.items() if key[0] in symbols}
    if not watched:
        raise broken_file_error(table.source, f"there are no candles of its symbols {_some_symbols(read)}")
    if len(watched) < len(read):
        others = {key: columns for key, columns in read.items() if key[0] not in symbols}
        rows, names = sum(len(columns.time_ms) for columns in others.values()), _some_symbols(others)
        tables.notes.append(f"{table.source}: left out {rows:,} signals of symbols without candles: {names}")
    tables.notes += table.notes
    tables.refusals.extend(refusals)
    for (symbol, name), columns in watched.items():
        _drop_repetitions(columns, [one.columns for one in tables.series if (one.symbol, one.name) == (symbol, name)])
        tables.refusals.extend(columns.refusals)
        if columns.time_ms:
            tables.series.append(SignalSeries(symbol, name, path.name, columns))


def _some_symbols(series: Mapping[tuple[str, str], SeriesColumns]) -> str:
    names = sorted({symbol for symbol, _ in series})
    more = ", ..." if len(names) > SYMBOLS_SHOWN_MAX else ""
    return ", ".join(names[:SYMBOLS_SHOWN_MAX]) + more


def _parse(table: TableText) -> tuple[dict[tuple[str, str], SeriesColumns], RefusalLog]:
    """Return the valid rows by symbol and name, and the refused ones."""
    series, refusals = dict[tuple[str, str], SeriesColumns](), RefusalLog()
    lines = table.rows.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
    for line, text in zip(table.line_numbers(len(lines)), lines, strict=True):
        if not text.strip():
            continue
        fields = [field.strip() for field in text.split(",")]
        reason = _field_fault(fields) or _add_signal(fields, line, table.source, series)
        if reason is not None:
            refusals.refuse(table.source, line, reason, text)
    return series, refusals


def _field_fault(fields: Sequence[str]) -> RefusalReason | None:
    """Return why a row is invalid whatever stands around it, or None."""
    if len(fields) != len(SIGNAL_COLUMNS):
        return RefusalReason.WRONG_FIELD_COUNT
    time, symbol, name, value = fields
    if not (time + value).isascii() or "_" in time + value:  # Python would read some of these as numbers.
        return RefusalReason.NOT_A_NUMBER
    try:
        time_ms, number = int(time), float(value)
    except ValueError:
        return RefusalReason.NOT_A_NUMBER
    if not isfinite(number):
        return RefusalReason.NOT_FINITE
    if not TIME_MS_MIN <= time_ms <= TIME_MS_MAX:
        return RefusalReason.TIME_OUT_OF_RANGE
    return RefusalReason.INVALID_NAME if not symbol or not _NAME.fullmatch(name) else None


def _add_signal(
    fields: Sequence[str], line: int, source: str, series: dict[tuple[str, str], SeriesColumns]
) -> RefusalReason | None:
    """Add a valid row to its series and return None, or return why it does not follow the rows there.

    A row that repeats an earlier one is ignored.
    """
    time_ms, symbol, name, value = int(fields[0]), fields[1], fields[2], float(fields[3])
    columns = series.setdefault((symbol, name), SeriesColumns(source))
    if columns.time_ms and time_ms <= columns.time_ms[-1]:
        row = row_at(time_ms, columns.time_ms)
        if row < 0:
            return RefusalReason.OUT_OF_ORDER
        return None if columns.value[row] == value else RefusalReason.DUPLICATE
    columns.time_ms.append(time_ms)
    columns.value.append(value)
    columns.line.append(line)
    return None


def _drop_repetitions(columns: SeriesColumns, earlier: Sequence[SeriesColumns]) -> None:
    """Drop the rows whose time occurs in earlier files; refuse those with another value."""
    for row in range(len(columns.time_ms) - 1, -1, -1):
        time_ms, value = columns.time_ms[row], columns.value[row]
        for other in earlier:
            found = row_at(time_ms, other.time_ms)
            if found < 0:
                continue
            if other.value[found] != value:
                text = f"time_ms {time_ms} with {value}, but {other.value[found]} in {other.source}"
                columns.refusals.refuse(columns.source, columns.line[row], RefusalReason.DUPLICATE, text)
            for column in (columns.time_ms, columns.value, columns.line):
                del column[row]
            break
