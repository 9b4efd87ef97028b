"""The two small files beside a SQLite log: its newest head, and the lock that keeps a second engine out.

The head file shows what the log alone cannot: whether its tail was cut off.
"""

from __future__ import annotations

import fcntl
import os
import struct
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from zlib import crc32

from papertape.events.beside import sibling_path
from papertape.events.durable import sync
from papertape.events.errors import LogError, LogHeld
from papertape.events.log import Head

_MAGIC = b"PTHEAD1\n"
_FIELDS = struct.Struct(">8sq32s")
_CHECKSUM_BYTES = 4
RECORD_BYTES = _FIELDS.size + _CHECKSUM_BYTES


def head_path(log_path: Path) -> Path:
    """Return the path of this log's head file."""
    return sibling_path(log_path, ".head")


def read_head(log_path: Path) -> Head | None:
    """Return the head recorded for this log; None if there is none or its record is torn."""
    try:
        record = head_path(log_path).read_bytes()
    except FileNotFoundError:
        return None
    fields, checksum = record[: _FIELDS.size], record[_FIELDS.size :]
    if len(record) != RECORD_BYTES or checksum != _checksum(fields):
        return None
    magic, seq, row_hash = _FIELDS.unpack(fields)
    return Head(seq, row_hash) if magic == _MAGIC else None


class HeadFile:
    """Records the head in one small record that is written in place."""

    def __init__(self, log_path: Path, head: Head) -> None:
        """Create the file and record `head` durably. Raise LogError if it cannot be written."""
        path = head_path(log_path)
        try:
            with ExitStack() as undo:
                self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
                undo.callback(os.close, self._descriptor)
                self.write(head)
                self.sync()
                sync(path.parent)
                undo.pop_all()
        except OSError as error:
            raise LogError(f"{path}: {error}") from error

    def write(self, head: Head) -> None:
        """Record the head; it survives a killed process at once and a power cut after `sync`. Raise OSError."""
        fields = _FIELDS.pack(_MAGIC, head.seq, head.hash)
        os.pwrite(self._descriptor, fields + _checksum(fields), 0)

    def sync(self) -> None:
        """Make the head durable; waits for the disk. Raise OSError."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Sync and close the file. A head that is outdated after a power cut only detects less."""
        with suppress(OSError):
            self.sync()
        os.close(self._descriptor)


class LogLock:
    """Holds `<log>.lock` by flock, which ends with the process that holds it, however that ends."""

    def __init__(self, log_path: Path) -> None:
        """Prepare the lock; entering the context takes it."""
        self._path = sibling_path(log_path, ".lock")
        self._log_path = log_path
        self._descriptor = -1

    def __enter__(self) -> Self:
        """Take the lock at once, or raise LogHeld. Raise LogError if the file cannot be created."""
        assert self._descriptor == -1, "the lock is already held"
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise LogError(f"{self._path}: {error}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise LogHeld(f"another engine holds {self._log_path}") from error
        self._descriptor = descriptor
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Release the lock. The file stays: removing it would let two engines lock two files of the same name."""
        os.close(self._descriptor)
        self._descriptor = -1


def _checksum(fields: bytes) -> bytes:
    return crc32(fields).to_bytes(_CHECKSUM_BYTES, "big")


def cut_tail_text(path: Path) -> str:
    """Return why a log that lacks the row in the head file at `path` is damaged."""
    return f"the log lacks the row that {path} records: its tail was cut off, or an older copy took its place"
