"""Unpack a file from gzip, zip or UTF-16, and refuse binary formats by their first bytes."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from io import BytesIO
from typing import Final

from papertape.events.errors import MarketDataError

TABLE_BYTES_MAX: Final = 1 << 30
"""A larger file is refused: it would not fit into memory as text."""
PARQUET: Final = b"PAR1"
ARROW: Final = b"ARROW1"
_GZIP = b"\x1f\x8b"
_ZIP = b"PK\x03\x04"
_UTF_8_MARK = b"\xef\xbb\xbf"
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_FOREIGN: Final = {
    b"FEA1": "a feather file of version 1",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"\xfd7zXZ\x00": "an xz file",
    b"BZh": "a bzip2 file",
    b"7z\xbc\xaf\x27\x1c": "a 7z file",
    b"Rar!": "a rar file",
    b"\x89HDF": "an HDF5 file",
    b"SQLite format 3\x00": "an SQLite file",
    b"\x80\x04": "a Python pickle",
    b"\x80\x05": "a Python pickle",
    b"\xd0\xcf\x11\xe0": "an Excel file",
    b"%PDF": "a PDF file",
}
READABLE: Final = "CSV, CSV.gz, zipped CSV, JSON, feather or Parquet"


def broken_file_error(source: str, reason: str) -> MarketDataError:
    """Return the error that refuses a whole file."""
    return MarketDataError(f"{source}: {reason}")


def unpack(source: str, data: bytes) -> tuple[bytes, list[str]]:
    """Return the unpacked bytes, and the names of the formats that were unpacked.

    Raise `MarketDataError` if the file is damaged, or not a readable table.
    """
    words = []
    if data.startswith(_ZIP):
        data = _unzip(source, data)
        words.append("zipped")
    if data.startswith(_GZIP) or (source.endswith(".gz") and data and not words):
        data = _gunzip(source, data)
    if data.startswith(_UTF_16_MARKS):
        data = _from_utf_16(source, data)
        words.append("UTF-16")
    data = data.removeprefix(_UTF_8_MARK)
    foreign = next((word for magic, word in _FOREIGN.items() if data.startswith(magic)), None)
    if foreign is None and b"\0" in data and not data.startswith((PARQUET, ARROW)):
        foreign = "a binary file"
    if foreign is not None:
        raise broken_file_error(source, f"this is {foreign}: {READABLE} is needed")
    return data, words


def _gunzip(source: str, data: bytes) -> bytes:
    try:
        return gzip.decompress(data)
    except EOFError as error:
        raise broken_file_error(source, "the gzip data is cut short") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise broken_file_error(source, f"the gzip data is corrupt: {error}") from error


def _unzip(source: str, data: bytes) -> bytes:
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            members = [one for one in archive.infolist() if not one.is_dir()]
            if any(one.filename == "[Content_Types].xml" for one in members):
                raise broken_file_error(source, f"this is an Excel file: {READABLE} is needed")
            if len(members) != 1:
                raise broken_file_error(
                    source, f"the zip holds {len(members)} files: unpack it, and give them one by one"
                )
            if members[0].file_size > TABLE_BYTES_MAX:
                raise broken_file_error(source, f"the file in the zip is larger than {TABLE_BYTES_MAX} bytes")
            return archive.read(members[0])
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, OSError) as error:
        raise broken_file_error(source, f"the zip cannot be read: {error}") from error


def _from_utf_16(source: str, data: bytes) -> bytes:
    try:
        return data.decode("utf-16").encode()
    except UnicodeDecodeError as error:
        raise broken_file_error(source, f"the UTF-16 text is damaged: {error.reason}") from error
