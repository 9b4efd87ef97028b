"""Prepare a market data file before its rows are read: its name, bytes, columns, times and their order.

A fault of a file as a whole raises a `MarketDataError` here that names the file and the reason.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from msgspec import Struct

from papertape.engine.feeds.files.containers import TABLE_BYTES_MAX, broken_file_error, unpack
from papertape.engine.feeds.files.frames import convert_columnar
from papertape.engine.feeds.files.layouts import select_columns
from papertape.engine.feeds.files.symbol_names import SYMBOL_PATTERN, symbol_of
from papertape.engine.feeds.files.times import MILLISECONDS, runs_backwards, to_ms, unit_of
from papertape.events.names import near_file_text

PROBE_ROWS_MAX: Final = 1_000
"""The number of rows that determine a file's base timeframe, time unit and order."""

_NAMED = re.compile(rf"^(?P<symbol>{SYMBOL_PATTERN})=(?P<path>.+)$")


class TableSource(Struct, frozen=True):
    """A file and the symbol whose facts it holds."""

    symbol: str
    path: Path


class TableText(Struct, frozen=True):
    """A table as text: its rows as bytes, in the columns and the order that the readers expect.

    `first_line` is the line number of the first row in the file, `line_step` is -1 if the newest row comes first.
    `words` describe the recognised format; they are empty for this program's own format. `unit` is that of the times in
    the file, which the rows have in milliseconds.
    """

    source: str
    rows: bytes
    first_line: int = 2
    line_step: int = 1
    words: tuple[str, ...] = ()
    unit: str = MILLISECONDS

    @property
    def row_count(self) -> int:
        """The number of rows, valid or not."""
        return self.rows.count(b"\n") + (not self.rows.endswith(b"\n"))

    def lines(self) -> list[str]:
        """Return the rows as text; a non-ASCII byte becomes a character that no number contains."""
        return self.rows.decode("ascii", "replace").replace("\r\n", "\n").split("\n")

    def probe(self) -> list[str]:
        """Return the first rows as text."""
        return TableText(self.source, b"\n".join(self.rows.split(b"\n", PROBE_ROWS_MAX)[:PROBE_ROWS_MAX])).lines()

    def line_numbers(self, count: int) -> range:
        """Return the line numbers of the first `count` rows in the file."""
        return range(self.first_line, self.first_line + count * self.line_step, self.line_step)

    @property
    def notes(self) -> list[str]:
        """One line about the recognised format; empty for this program's own format."""
        return [f"{self.source}: recognised {', '.join(self.words)}"] if self.words else []


def split_given(given: str) -> tuple[str, Path]:
    """Return the symbol and the path of `SYMBOL=path`; without a symbol it is empty. A path may contain `=`."""
    named = _NAMED.match(given)
    return ("", Path(given)) if named is None else (named["symbol"], Path(named["path"]))


def rebase_path(given: str, folder: Path) -> str:
    """Return `path` or `SYMBOL=path` with the path relative to a folder."""
    symbol, path = split_given(given)
    return f"{symbol}{'=' if symbol else ''}{folder / path}"


def table_source(given: Path | str) -> TableSource:
    """Return the symbol and path of `exchange_SYMBOL_kind_...`, of another tool's file name, or of `SYMBOL=path`.

    Raise `MarketDataError` if none of these names a symbol.
    """
    named, path = split_given(str(given)) if isinstance(given, str) else ("", given)
    if named:
        return TableSource(named, path)
    symbol = symbol_of(path.name)
    if symbol is None:
        raise broken_file_error(
            str(path), "the name does not say the symbol: name it exchange_SYMBOL_kind_... or give SYMBOL=path"
        )
    return TableSource(symbol, path)


def read_table(path: Path, columns: tuple[str, ...]) -> TableText:
    """Return the rows of a table with these columns, written by this program or a known tool.

    Raise `MarketDataError` for a file that is missing, too large, empty or damaged, or whose format or columns are
    unknown.
    """
    source = str(path)
    data, words = unpack(source, _bytes_of(path))
    if not data.strip():
        raise broken_file_error(source, "the file is empty")
    frame = convert_columnar(source, data)
    if frame is not None:
        data = frame[0]
    rows, first_line, layout = select_columns(source, data, columns)
    if frame is not None:
        first_line, words = 1, [*words, frame[1]]
    return _sort_and_convert(TableText(source, rows, first_line, 1, tuple(filter(None, [*words, layout]))))


def _sort_and_convert(table: TableText) -> TableText:
    """Return the table with times in milliseconds, oldest row first."""
    times = [line.partition(",")[0].strip() for line in table.probe()]
    unit = unit_of(times)
    if unit is None:
        return table
    rows, words = table.rows, list(table.words)
    if unit != MILLISECONDS:
        rule = to_ms(unit)
        cut = (line.partition(",") for line in table.lines())
        rows = "\n".join([rule(time.strip()) + comma + rest for time, comma, rest in cut]).encode("ascii", "replace")
        times = [rule(text) for text in times]
        words.append(f"times in {unit}" if unit != "ISO dates" else "times as ISO dates (UTC where they name no zone)")
    if not runs_backwards([int(text) for text in times if text.isdecimal()]):
        return TableText(table.source, rows, table.first_line, 1, tuple(words), unit)
    lines = rows.rstrip(b"\n").split(b"\n")
    last_line = table.first_line + len(lines) - 1
    words.append("newest row first")
    return TableText(table.source, b"\n".join(reversed(lines)), last_line, -1, tuple(words), unit)


def _bytes_of(path: Path) -> bytes:
    if not path.exists():
        raise broken_file_error(str(path), f"there is no such file{near_file_text(path)}")
    if not path.is_file():
        raise broken_file_error(str(path), "is not a file")
    try:
        if path.stat().st_size > TABLE_BYTES_MAX:
            raise broken_file_error(str(path), f"is larger than {TABLE_BYTES_MAX} bytes")
        return path.read_bytes()
    except OSError as error:
        raise broken_file_error(str(path), f"cannot be read: {error.strerror}") from error
