"""Files of exported events: JSON lines and CSV, both also gzipped, and Parquet if polars is installed."""

from __future__ import annotations

import csv
import gzip
import os
import zlib
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, Final, TextIO, cast

import msgspec
from msgspec.structs import astuple

from papertape.events.durable import rename_durably
from papertape.events.errors import PortableDamaged, UsageError
from papertape.events.portable import ROW_FIELDS, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

FORMATS: Final = ("jsonl", "csv", "parquet")
LINE_CHARS_MAX: Final = 4_000_000
PARQUET_ROWS: Final = 50_000
"""The most rows in memory at once."""


def format_of(path: Path, option: str | None = None) -> str:
    """Return the format of a file: `option`, or else by its name. Raise UsageError for an unknown format."""
    name = path.name.removesuffix(".gz")
    form = option or name.rpartition(".")[2]
    if form not in FORMATS:
        raise UsageError(f"{form or path.name}: unknown format; choose from {', '.join(FORMATS)} with --format")
    if form == "parquet" and find_spec("polars") is None:
        raise UsageError("Parquet needs polars: pip install 'papertape[research]', or choose csv or jsonl")
    return form


def write_rows(path: Path, rows: Iterable[Row], form: str) -> None:
    """Write a new file, completely or not at all. Raise UsageError if it exists or cannot be written."""
    if path.exists():
        raise UsageError(f"{path} already exists; name a new file")
    half = path.with_name(f".{path.name}.{os.getpid()}.half")
    try:
        if form == "parquet":
            _write_parquet(half, rows)
        else:
            with _text(half, "w", zipped=path.suffix == ".gz") as file:
                _WRITERS[form](file, rows)
        rename_durably(half, path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):
            half.unlink(missing_ok=True)


def read_rows(path: Path, form: str) -> Iterator[Row]:
    """Yield the rows of a file. Raise PortableDamaged with the damaged line, or UsageError if there is no file."""
    try:
        if form == "parquet":
            yield from _read_parquet(path)
        else:
            with _text(path, "r", zipped=path.suffix == ".gz") as file:
                yield from _READERS[form](file)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    except (EOFError, zlib.error, UnicodeDecodeError) as error:
        raise PortableDamaged(f"{path} is damaged: {error}") from error


@contextmanager
def _text(path: Path, mode: str, *, zipped: bool) -> Iterator[TextIO]:
    if zipped:
        with gzip.open(path, f"{mode}t", encoding="utf-8", newline="") as packed:
            yield cast("TextIO", packed)
    else:
        with path.open(mode, encoding="utf-8", newline="") as file:
            yield cast("TextIO", file)


# ---------------------------------------------------------------- JSON lines


def _write_json_lines(file: TextIO, rows: Iterable[Row]) -> None:
    encoder = msgspec.json.Encoder()
    file.writelines(encoder.encode(row).decode() + "\n" for row in rows)


def _read_json_lines(file: TextIO) -> Iterator[Row]:
    decoder = msgspec.json.Decoder(Row)
    number = 0
    while line := file.readline(LINE_CHARS_MAX):
        number += 1
        try:
            yield decoder.decode(line)
        except (ValueError, msgspec.MsgspecError) as error:
            raise PortableDamaged(f"line {number}: {error}") from error


# ---------------------------------------------------------------- CSV


def _write_csv(file: TextIO, rows: Iterable[Row]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(ROW_FIELDS)
    writer.writerows(astuple(row) for row in rows)


def _read_csv(file: TextIO) -> Iterator[Row]:
    csv.field_size_limit(LINE_CHARS_MAX)
    reader = csv.reader(file, strict=True)
    try:
        if tuple(next(reader, ())) != ROW_FIELDS:
            raise PortableDamaged(f"line 1: the header must be {','.join(ROW_FIELDS)}")
        for cells in reader:
            if len(cells) != len(ROW_FIELDS):
                raise PortableDamaged(f"line {reader.line_num}: {len(cells)} columns instead of {len(ROW_FIELDS)}")
            yield msgspec.convert(dict(zip(ROW_FIELDS, cells, strict=True)), Row, strict=False)
    except (csv.Error, msgspec.ValidationError) as error:
        raise PortableDamaged(f"line {reader.line_num}: {error}") from error


_WRITERS: dict[str, Callable[[TextIO, Iterable[Row]], None]] = {"jsonl": _write_json_lines, "csv": _write_csv}
_READERS: dict[str, Callable[[TextIO], Iterator[Row]]] = {"jsonl": _read_json_lines, "csv": _read_csv}


# ---------------------------------------------------------------- Parquet


def _write_parquet(path: Path, rows: Iterable[Row]) -> None:
    import polars as pl  # noqa: PLC0415 - an extra, and slow to import.

    number, text = pl.Int64, pl.String
    schema = dict(zip(ROW_FIELDS, (number, number, number, number, text, text, text), strict=True))
    remaining = iter(rows)
    pages = []
    while page := list(islice(remaining, PARQUET_ROWS)):
        pages.append(pl.DataFrame([astuple(row) for row in page], schema=schema, orient="row"))
    packed = BytesIO()  # polars reports a full disk by another error than OSError.
    (pl.concat(pages) if pages else pl.DataFrame(schema=schema)).write_parquet(packed)
    path.write_bytes(packed.getbuffer())


def _read_parquet(path: Path) -> Iterator[Row]:
    import polars as pl  # noqa: PLC0415 - likewise.

    try:
        frame = pl.read_parquet(path)
    except pl.exceptions.PolarsError as error:
        raise PortableDamaged(f"{path}: {error}") from error
    if tuple(frame.columns) != ROW_FIELDS:
        raise PortableDamaged(f"{path}: the columns must be {', '.join(ROW_FIELDS)}")
    for page in frame.iter_slices(PARQUET_ROWS):
        for cells in page.iter_rows():
            yield Row(*cells)
