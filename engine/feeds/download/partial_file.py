"""The file of a download while it grows and when it is complete: rows as text, in time order, without repetitions.

A download writes `OUT.part`, plain CSV whose first line names the columns. Whole windows are appended and synced to
disk, so that after an interruption at most the last line is cut. The final file is written beside it and renamed in
one step.
"""

from __future__ import annotations

import fcntl
import gzip
import os
import shutil
from collections.abc import Iterator, Sequence
from enum import StrEnum
from io import BytesIO
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from msgspec import Struct

from papertape.engine.feeds.files.csv_reader import CANDLE_COLUMNS, FUNDING_COLUMNS
from papertape.events.durable import rename_durably
from papertape.events.errors import MarketDataError, UsageError
from papertape.events.units import HOUR_MS, MINUTE_MS

SUFFIXES: Final = (".csv.gz", ".csv", ".parquet")
HOLES_NAMED_MAX: Final = 10
LINE_BYTES_MAX: Final = 1_024
COPY_BYTES: Final = 1 << 20
GZIP_LEVEL: Final = 6
FUNDING_GAP_MS_MAX: Final = 8 * HOUR_MS
"""Settlements are 1 to 8 hours apart, and the interval may change: only a longer gap is certainly a hole."""

Row = tuple[int, tuple[float, ...]]
"""The open or settlement time in UTC ms, and the values of the other columns."""


class DownloadKind(StrEnum):
    """The kind of data to download."""

    CANDLES = "candles"
    FUNDING = "funding"
    MARK = "mark"


COLUMNS: Final = {
    DownloadKind.CANDLES: CANDLE_COLUMNS,
    DownloadKind.FUNDING: FUNDING_COLUMNS,
    DownloadKind.MARK: CANDLE_COLUMNS[:-1],
}


class DownloadRequest(Struct, frozen=True):
    """A request: rows with from <= time < until, UTC ms. Without `until_ms` it ends with the last closed candle."""

    kind: DownloadKind
    symbol: str
    timeframe_ms: int
    from_ms: int
    until_ms: int | None = None

    @property
    def step_ms(self) -> int:
        """The grid of the times: the timeframe, or minutes for settlements."""
        return MINUTE_MS if self.kind is DownloadKind.FUNDING else self.timeframe_ms

    @property
    def longest_ms(self) -> int:
        """The longest distance of two rows between which nothing is missing."""
        return FUNDING_GAP_MS_MAX if self.kind is DownloadKind.FUNDING else self.timeframe_ms


class DataGap(Struct, frozen=True):
    """Rows missing between two others; `missing` counts them (for settlements it is a minimum)."""

    from_ms: int
    until_ms: int
    missing: int


class PartialFileSummary(Struct):
    """The contents of a file. Times are -1 if it is empty; `holes` are the first `HOLES_NAMED_MAX`."""

    rows: int = 0
    first: Row = (-1, ())
    last: Row = (-1, ())
    holes: list[DataGap] = []
    hole_count: int = 0
    missing: int = 0

    def add(self, row: Row, longest_ms: int) -> None:
        """Count the next row; a step longer than `longest_ms` is a hole."""
        if self.rows == 0:
            self.first = row
        elif row[0] - self.last[0] > longest_ms:
            missing = (row[0] - self.last[0] - 1) // longest_ms
            self.hole_count += 1
            self.missing += missing
            if len(self.holes) < HOLES_NAMED_MAX:
                self.holes.append(DataGap(self.last[0] + longest_ms, row[0], missing))
        self.rows += 1
        self.last = row


def format_number(value: float) -> str:
    """Return a number in its shortest form: 95478, 0.1, 1e-05."""
    return repr(value).removesuffix(".0")


def line_of(row: Row) -> str:
    """Return a row as a line of the file."""
    return ",".join([str(row[0]), *map(format_number, row[1])]) + "\n"


class PartialFile:
    """`OUT.part`, locked by one download at a time. Use it as a context manager, which removes an empty file."""

    def __init__(self, out: Path, request: DownloadRequest) -> None:
        self.out = out
        self.path = out.with_name(f"{out.name}.part")
        self._request = request
        self._header = (",".join(COLUMNS[request.kind]) + "\n").encode()
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        """Open the file and drop a cut last line.

        Raise UsageError if another download has locked it or it has other columns, MarketDataError if it cannot be
        written.
        """
        try:
            self._file = self.path.open("a+b")
        except OSError as error:
            raise MarketDataError(f"{self.path}: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._begin()
            self._drop_cut_line()
        except UsageError:
            self._file.close()
            raise
        except OSError:
            self._file.close()
            raise UsageError(f"{self.path}: another download is writing it") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        if self.path.exists() and self.path.stat().st_size <= len(self._header):
            self.path.unlink()
        self._open_file().close()

    def append(self, rows: Sequence[Row]) -> None:
        """Append rows and sync them to disk. Raise MarketDataError if the disk is full."""
        file = self._open_file()
        try:
            file.write("".join(map(line_of, rows)).encode("ascii"))
            file.flush()
            os.fsync(file.fileno())
        except OSError as error:
            raise MarketDataError(f"{self.path}: {error.strerror}") from error

    def survey(self) -> PartialFileSummary:
        """Read the file and check it against the request: on the grid, in order, without repetitions.

        Raise UsageError for a row outside the request, MarketDataError for an invalid line.
        """
        request, summary = self._request, PartialFileSummary()
        end_ms = request.until_ms
        for number, row in enumerate(self._rows(), 2):
            if row[0] < request.from_ms or (end_ms is not None and row[0] >= end_ms) or row[0] % request.step_ms:
                raise self.mismatch_error(f"line {number} has the time {row[0]}")
            if row[0] <= summary.last[0]:
                raise self._damaged(number)
            summary.add(row, request.longest_ms)
        return summary

    def mismatch_error(self, why: str) -> UsageError:
        """Return the error for a file of another request."""
        return UsageError(
            f"{self.path} belongs to another request ({why}): remove it, or write to another file with --out"
        )

    def finish(self) -> None:
        """Write the final file atomically and remove this one."""
        new = self.out.with_name(f"{self.out.name}.new")
        self._open_file().seek(0)
        try:
            with new.open("wb") as target:
                self._convert(target)
            rename_durably(new, self.out)
            self.path.unlink()
        except OSError as error:
            new.unlink(missing_ok=True)
            raise MarketDataError(f"{self.out}: {error.strerror}") from error

    def _convert(self, target: BinaryIO) -> None:
        source = self._open_file()
        if self.out.name.endswith(".parquet"):
            import polars as pl  # noqa: PLC0415 - an extra.

            time_name, *names = COLUMNS[self._request.kind]
            schema = {time_name: pl.Int64(), **dict.fromkeys(names, pl.Float64())}
            packed = BytesIO()  # polars does not report a full disk as an OSError.
            pl.read_csv(self.path, schema=schema).write_parquet(packed)
            target.write(packed.getbuffer())
        elif self.out.name.endswith(".gz"):
            # Without name and time in its header, the same rows always give the same bytes.
            with gzip.GzipFile(filename="", mode="wb", compresslevel=GZIP_LEVEL, fileobj=target, mtime=0) as zipped:
                shutil.copyfileobj(source, zipped, COPY_BYTES)
        else:
            shutil.copyfileobj(source, target, COPY_BYTES)

    def _begin(self) -> None:
        """Write the header if it is missing."""
        file = self._open_file()
        file.seek(0)
        summary = file.readline(LINE_BYTES_MAX)
        if self._header.startswith(summary) and summary != self._header:
            file.truncate(0)
            file.write(self._header)
            file.flush()
        elif summary != self._header:
            raise self.mismatch_error(f"its columns are {summary.decode('utf-8', 'replace').strip()[:120]!r}")

    def _drop_cut_line(self) -> None:
        file = self._open_file()
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - LINE_BYTES_MAX))
        tail = file.read()
        file.truncate(size - len(tail) + tail.rfind(b"\n") + 1)

    def _rows(self) -> Iterator[Row]:
        file = self._open_file()
        file.seek(len(self._header))
        values_count = len(COLUMNS[self._request.kind]) - 1
        for number, line in enumerate(file, 2):
            try:
                first, *others = line.decode("ascii").rstrip("\n").split(",")
                row = int(first), tuple(map(float, others))
            except ValueError:
                raise self._damaged(number) from None
            if len(row[1]) != values_count or not all(map(isfinite, row[1])):
                raise self._damaged(number)
            yield row

    def _damaged(self, number: int) -> MarketDataError:
        return MarketDataError(f"{self.path} line {number}: not a row that follows the previous one; remove the file")

    def _open_file(self) -> BinaryIO:
        assert self._file is not None, "a partial file is used as a context manager"
        return self._file
