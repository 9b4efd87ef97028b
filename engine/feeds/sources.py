"""A file of market data before its rows are looked at: its name, its bytes, its header.

What is wrong with a file as a whole ends here as a `MarketDataError` that names the file and the reason.
"""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path
from typing import Final

from msgspec import Struct

from events.errors import MarketDataError

TABLE_BYTES_MAX: Final = 1 << 30
"""A file larger than this is refused: it would not fit into memory as text."""

_NAME = re.compile(r"^[^_]+_(?P<symbol>[A-Z0-9][A-Z0-9.-]*)_.+$")
_NAMED = re.compile(r"^(?P<symbol>[A-Z0-9][A-Z0-9.-]*)=(?P<path>.+)$")
_GZIP_MAGIC = b"\x1f\x8b"


class TableSource(Struct, frozen=True):
    """A file and the symbol whose facts it holds."""

    symbol: str
    path: Path


class TableText(Struct, frozen=True):
    """A table as text: the file's name, its header checked and cut off, its rows as bytes."""

    source: str
    rows: bytes

    def lines(self) -> list[str]:
        """The rows as text; what is no ASCII turns into a sign that no number contains."""
        return self.rows.decode("ascii", "replace").replace("\r\n", "\n").split("\n")


def broken(source: str, reason: str) -> MarketDataError:
    """The error that refuses a whole file."""
    return MarketDataError(f"{source}: {reason}")


def table_source(given: Path | str) -> TableSource:
    """The symbol and path of `exchange_SYMBOL_kind_...` or `SYMBOL=path`.

    Raises `MarketDataError` when neither form names a symbol.
    """
    named = _NAMED.match(given) if isinstance(given, str) else None
    if named is not None:
        return TableSource(named["symbol"], Path(named["path"]))
    path = Path(given)
    found = _NAME.match(path.name)
    if found is None:
        raise broken(
            str(path), "the name does not say the symbol: name it exchange_SYMBOL_kind_... or give SYMBOL=path"
        )
    return TableSource(found["symbol"], path)


def read_table(path: Path, columns: tuple[str, ...]) -> TableText:
    """The rows of a CSV or CSV.gz with exactly these columns.

    Raises `MarketDataError`: not a file, too large, empty, gzip cut short or corrupt, wrong header.
    """
    source = str(path)
    data = _unpacked(source, _bytes_of(path)).removeprefix(b"\xef\xbb\xbf")
    if not data.strip():
        raise broken(source, "the file is empty")
    header, _, rows = data.partition(b"\n")
    found = tuple(name.strip() for name in header.decode("utf-8", "replace").split(","))
    if found != columns:
        shown = ",".join(found)[:120]
        raise broken(source, f"wrong header: expected the columns {','.join(columns)}, found {shown!r}")
    return TableText(source, rows)


def _bytes_of(path: Path) -> bytes:
    if not path.is_file():
        raise broken(str(path), "is not a file")
    try:
        if path.stat().st_size > TABLE_BYTES_MAX:
            raise broken(str(path), f"is larger than {TABLE_BYTES_MAX} bytes")
        return path.read_bytes()
    except OSError as error:
        raise broken(str(path), f"cannot be read: {error.strerror}") from error


def _unpacked(source: str, data: bytes) -> bytes:
    if not data.startswith(_GZIP_MAGIC) and not (source.endswith(".gz") and data):
        return data
    try:
        return gzip.decompress(data)
    except EOFError as error:
        raise broken(source, "the gzip data is cut short") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise broken(source, f"the gzip data is corrupt: {error}") from error
