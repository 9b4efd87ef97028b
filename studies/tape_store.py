"""Tapes by the digest of their content: stored once, verified whenever they are read, shipped as they are.

A file holds a line of JSON that describes its tables, then their columns, little endian. A worker reads it into plain
arrays, on which CPython's kernel and numba's both work; a year of minutes is 25 MB and takes 30 ms.
"""

from __future__ import annotations

import sys
from array import array
from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
from msgspec import Struct

from papertape.engine.feeds.files.columns import CandleColumns, SeriesColumns
from papertape.engine.feeds.files.signals_csv import SignalSeries
from papertape.engine.research.recorded_tape import RecordedTape
from papertape.engine.research.tape import Tape
from papertape.events.durable import make_folder, write_durably
from papertape.events.errors import StudyMissing, StudyWriteFailed, TapeDamaged
from papertape.events.facts import (
    ContractDelisted,
    ContractListed,
    SignalReceived,
    SymbolResumed,
    SymbolSuspended,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORMAT: Final = 1
CELL_BYTES: Final = 8
_CANDLE_COLUMNS: Final = ("open_time_ms", "open", "high", "low", "close", "volume")
_SERIES_COLUMNS: Final = ("time_ms", "value")


class TapeTable(Struct, frozen=True, omit_defaults=True):
    """One table of a tape: `symbol` is the place of its contract, `timeframe_ms` that of candles."""

    kind: Literal["candles", "funding", "open_interest", "signals"]
    symbol: int
    rows: int
    timeframe_ms: int = 0
    name: str = ""
    source: str = ""


class RecordedOrder(Struct, frozen=True):
    """What a tape of a log has besides its tables: see `RecordedTape`. Its rows follow the columns."""

    events: list[SignalReceived | ContractListed | ContractDelisted | SymbolSuspended | SymbolResumed]
    warm_ups: list[int]
    commands: int


class TapeHeader(Struct, frozen=True, omit_defaults=True):
    """What the columns of a tape's file are, in their order."""

    format: int
    contracts: list[ContractListed]
    tables: list[TapeTable]
    recorded: RecordedOrder | None = None


class TapeStore:
    """A folder of tapes, each a file named by its digest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, tape: Tape) -> str:
        """Store the tables of a tape, if they are not there, and return their digest.

        The period that counts is left out: a study has many of them, over the same tape. Raise StudyWriteFailed.
        """
        content = encode(tape)
        digest = digest_of(content)
        self._write(digest, content)
        return digest

    def add(self, digest: str, content: bytes) -> None:
        """Store a tape that was fetched. Raise TapeDamaged if its digest is another, StudyWriteFailed."""
        _verify(digest, content, "the tape that arrived")
        self._write(digest, content)

    def has(self, digest: str) -> bool:
        """Return whether a tape is stored; whether it is intact is seen when it is read."""
        return self._path(digest).exists()

    def content(self, digest: str) -> bytes:
        """Return a tape as it is stored, for another machine. Raise StudyMissing or TapeDamaged."""
        path = self._path(digest)
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise StudyMissing(f"the tape {path} is missing") from error
        _verify(digest, content, str(path))
        return content

    def get(self, digest: str) -> Tape:
        """Return a tape. Raise StudyMissing or TapeDamaged."""
        return decode(self.content(digest))

    def forget(self, digest: str) -> None:
        """Remove a tape, so that it can be fetched again."""
        self._path(digest).unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        return self.folder / f"{digest}.tape"

    def _write(self, digest: str, content: bytes) -> None:
        path = self._path(digest)
        with suppress(StudyMissing, TapeDamaged):  # It is written anew.
            self.content(digest)
            return
        try:
            make_folder(self.folder)
            write_durably(path, content)
        except OSError as error:
            raise StudyWriteFailed(f"the tape {path} cannot be stored: {error}") from error


def encode(tape: Tape) -> bytes:
    """Return the tables of a tape as the bytes of its file."""
    tables = list(_tables(tape))
    recorded, rows = _recorded_order(tape)
    header = TapeHeader(FORMAT, tape.contracts, [table for table, _ in tables], recorded)
    columns = [_swapped(column).tobytes() for column in (*(one for _, columns in tables for one in columns), rows)]
    return b"".join([msgspec.json.encode(header), b"\n", *columns])


def decode(content: bytes) -> Tape:
    """Return the tape of a file's bytes, all of it traded. Raise TapeDamaged if another version wrote it."""
    line, _, cells = content.partition(b"\n")
    header = msgspec.json.decode(line, type=TapeHeader)
    if header.format != FORMAT:
        raise TapeDamaged(f"the tape has format {header.format}, this version of papertape reads {FORMAT}")
    symbols = len(header.contracts)
    series: dict[str, list[Any]] = {"candles": [None] * symbols, "funding": [None] * symbols}
    series["open_interest"] = [None] * symbols
    signals, at = [], 0
    for table in header.tables:
        names = _CANDLE_COLUMNS if table.kind == "candles" else _SERIES_COLUMNS
        size = table.rows * CELL_BYTES
        parts = [cells[at + place * size : at + (place + 1) * size] for place in range(len(names))]
        at += len(names) * size
        columns: dict[str, Any] = dict(zip(names, map(_column, names, parts), strict=True))
        if table.kind == "candles":
            series["candles"][table.symbol] = CandleColumns(table.source, table.timeframe_ms, **columns)
        elif table.kind == "signals":
            symbol = header.contracts[table.symbol].symbol
            signals.append(SignalSeries(symbol, table.name, table.source, SeriesColumns(table.source, **columns)))
        else:
            series[table.kind][table.symbol] = SeriesColumns(table.source, **columns)
    facts = header.contracts, series["candles"], series["funding"], series["open_interest"]
    if (recorded := header.recorded) is None:
        return Tape(*facts, signals=signals)
    rows = _column("rows_ms", cells[at:]).tobytes()
    events: list[Any] = recorded.events
    return RecordedTape(*facts, rows=rows, events=events, warm_ups=recorded.warm_ups, commands=recorded.commands)


def _recorded_order(tape: Tape) -> tuple[RecordedOrder | None, array[Any]]:
    """Return what a tape of a log has besides its tables, and its rows; None and no rows for a tape of files."""
    if not isinstance(tape, RecordedTape):
        return None, array("q")
    events: list[Any] = tape.events
    return RecordedOrder(events, tape.warm_ups, tape.commands), array("q", tape.rows)


def digest_of(content: bytes) -> str:
    """Return the digest of a tape's bytes."""
    return blake2b(content, digest_size=16).hexdigest()


def _tables(tape: Tape) -> Iterator[tuple[TapeTable, list[array[Any]]]]:
    """Yield all tables with their columns. Paths of files are left out: the same market has the same digest."""
    for symbol, candles in enumerate(tape.candles):
        rows = len(candles.open_time_ms)
        yield TapeTable("candles", symbol, rows, candles.timeframe_ms), [candles.open_time_ms, *candles.values()]
    kinds: tuple[tuple[Literal["funding", "open_interest"], list[SeriesColumns | None]], ...]
    kinds = (("funding", tape.funding), ("open_interest", tape.open_interest))
    for kind, tables in kinds:
        for symbol, series in enumerate(tables):
            if series is not None:
                yield TapeTable(kind, symbol, len(series.time_ms)), [series.time_ms, series.value]
    symbols = [contract.symbol for contract in tape.contracts]
    for signals in tape.signals:
        place, columns = symbols.index(signals.symbol), signals.columns
        table = TapeTable("signals", place, len(columns.time_ms), name=signals.name, source=signals.source)
        yield table, [columns.time_ms, columns.value]


def _column(name: str, content: bytes) -> array[Any]:
    """Return a column from its bytes: times are integers, everything else floats."""
    column: array[Any] = array("q" if name.endswith("_ms") else "d")
    column.frombytes(content)
    return _swapped(column)


def _swapped(column: array[Any]) -> array[Any]:
    """Return a column in the other byte order where this machine's is not that of the file."""
    if sys.byteorder == "little":
        return column
    column = column[:]
    column.byteswap()
    return column


def _verify(digest: str, content: bytes, what: str) -> None:
    found = digest_of(content)
    if found != digest:
        raise TapeDamaged(f"{what} is damaged: its digest is {found}, expected is {digest}")
