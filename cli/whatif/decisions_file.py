"""A compact file of decisions: what one version decides on the inputs of a log, for another version to compare with.

It is gzipped: a header, then for each input with consequences its seq and the events as a row of a log holds them, then
the number of inputs. Old shapes of events are read as newer ones, as in a log.
"""

from __future__ import annotations

import gzip
import sys
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Final, cast

import msgspec
from msgspec import Struct

from papertape.cli.offline.output_files import check_output, whole_log
from papertape.events.codec import CODEC
from papertape.events.errors import PortableDamaged, UsageError
from papertape.events.log import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from papertape.events.facts import Event

FORMAT: Final = "papertape decisions 1"
STANDARD: Final = "-"
"""The name of stdout and stdin."""


class DecisionsHeader(Struct, frozen=True):
    """What the decisions of a file belong to: the log, the part of it, and the code and settings that decided.

    `code` has the digest of kernel and each strategy by name, `kernel` that of the kernel alone.
    """

    format: str
    version: str
    seq: int
    hash: bytes
    from_ms: int | None
    until_ms: int | None
    kernel: str
    code: dict[str, str]
    settings: tuple[str, ...]


_encoder = msgspec.msgpack.Encoder()
_rows = msgspec.msgpack.Decoder(tuple[int, bytes])
_headers = msgspec.msgpack.Decoder(DecisionsHeader)


class DecisionsWriter:
    """Writes the rows of a file."""

    def __init__(self, file: BinaryIO, header: DecisionsHeader) -> None:
        self._file, self.rows = file, 0
        self._put(_encoder.encode(header))

    def add(self, seq: int, decisions: Sequence[Event]) -> None:
        """Add the decisions on the input at `seq`, unless there are none."""
        if decisions:
            self._put(_encoder.encode((seq, CODEC.encode_commit([Entry(event) for event in decisions]))))
            self.rows += 1

    def finish(self) -> None:
        """Write the end, by which a reader knows that nothing is missing."""
        self._put(_encoder.encode((-self.rows, b"")))

    def _put(self, content: bytes) -> None:
        self._file.write(len(content).to_bytes(4, "big") + content)


@contextmanager
def written_decisions(path: Path, header: DecisionsHeader, inputs: Iterable[Path]) -> Iterator[DecisionsWriter]:
    """Yield a writer of a file that is complete or absent; `-` is stdout. Raise UsageError if it cannot be written."""
    if str(path) == STANDARD:
        with gzip.open(sys.stdout.buffer, "wb") as packed:
            yield from _writer(cast("BinaryIO", packed), header)
        return
    check_output("--write", path, inputs)
    try:
        with whole_log(path) as half, gzip.open(half, "wb") as packed:
            yield from _writer(cast("BinaryIO", packed), header)
    except OSError as error:
        raise UsageError(f"--write {path} cannot be written: {error.strerror}") from error


def _writer(file: BinaryIO, header: DecisionsHeader) -> Iterator[DecisionsWriter]:
    writer = DecisionsWriter(file, header)
    yield writer
    writer.finish()


class DecisionsFile(Struct, frozen=True):
    """The content of a file: its header, and the rows by the seq of their input."""

    header: DecisionsHeader
    rows: dict[int, bytes]

    def on(self, seq: int) -> list[Event]:
        """Return the decisions on an input. Raise LogFromNewerVersion for an event that this version does not know."""
        blob = self.rows.get(seq)
        return [] if blob is None else CODEC.decode(seq, blob)[0]


def read_decisions(path: Path) -> DecisionsFile:
    """Return the content of a file; `-` is stdin.

    Raise UsageError if it cannot be read, PortableDamaged if it is torn, changed or of another kind.
    """
    try:
        content = sys.stdin.buffer.read() if str(path) == STANDARD else path.read_bytes()
        first, *others = _parts(gzip.decompress(content))
        header = _headers.decode(first)
        *rows, last = (_rows.decode(row) for row in others)
    except OSError as error:
        if not isinstance(error, gzip.BadGzipFile):
            raise UsageError(f"--expect {path} cannot be read: {error.strerror}") from error
        raise PortableDamaged(f"--expect {path} is no file of decisions: {error}") from error
    except (EOFError, zlib.error, ValueError, msgspec.MsgspecError) as error:
        raise PortableDamaged(f"--expect {path} is damaged: {error}") from error
    if header.format != FORMAT or last[0] != -len(rows):
        raise PortableDamaged(f"--expect {path}: {header.format!r} with {len(rows)} rows, not a whole {FORMAT!r}")
    return DecisionsFile(header, dict(rows))


def _parts(content: bytes) -> Iterator[bytes]:
    """Yield the parts of a file, each behind its length. Raise ValueError if one is cut off."""
    at = 0
    while at < len(content):
        end = at + 4 + int.from_bytes(content[at : at + 4], "big")
        if end > len(content):
            raise ValueError(f"it ends within a part at byte {at:,}")
        yield content[at + 4 : end]
        at = end
