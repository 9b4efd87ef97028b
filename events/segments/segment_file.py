"""A sealed segment: an immutable file of old commits."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path

import msgspec
from backports import zstd
from msgspec import Struct

from papertape.events.chain import Row, row_head, verify_rows
from papertape.events.codec import CODEC, Codec
from papertape.events.durable import make_folder, rename_durably
from papertape.events.errors import LogDamaged, LogError
from papertape.events.log import Commit, Head


class SegmentInfo(Struct, frozen=True):
    """What the catalogue knows of a segment."""

    first_seq: int
    last_seq: int
    rows: int
    hash_before: bytes
    hash_after: bytes
    digest: bytes
    size_bytes: int


def segment_path(folder: Path, info: SegmentInfo) -> Path:
    """Return the path of a segment in a folder."""
    return folder / f"{info.first_seq:012d}-{info.last_seq:012d}-{info.digest.hex()[:16]}.segment"


def write_segment(folder: Path, before: Head, rows: Iterable[Row], codec: Codec = CODEC) -> SegmentInfo:
    """Write the rows after `before` durably into a new file, read it back, and return what it holds."""
    listed = list(rows)
    for _ in verify_rows(listed, before, codec):
        pass
    content = zstd.compress(msgspec.msgpack.encode((before.hash, listed)))
    end = row_head(listed[-1])
    digest = blake2b(content, digest_size=32).digest()
    info = SegmentInfo(before.seq + 1, end.seq, len(listed), before.hash, end.hash, digest, len(content))
    make_folder(folder)
    path = segment_path(folder, info)
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    assert list(SegmentFile(temporary, info, codec).rows()) == listed
    rename_durably(temporary, path)
    return info


class SegmentFile:
    """An open segment."""

    def __init__(self, path: Path, info: SegmentInfo | None = None, codec: Codec = CODEC) -> None:
        """Open the file. Raise LogDamaged or LogError."""
        try:
            content = path.read_bytes()
        except OSError as error:
            raise LogError(f"{path}: {error.strerror}") from error
        first_seq = 0 if info is None else info.first_seq
        try:
            before, rows = msgspec.msgpack.decode(zstd.decompress(content), type=tuple[bytes, list[Row]])
        except (ValueError, msgspec.MsgspecError, zstd.ZstdError) as error:
            raise LogDamaged(first_seq, f"{path}: {error}") from error
        self._rows, self._codec, self._path = rows, codec, path
        self._before = Head(rows[0][0] - 1, before)
        digest = blake2b(content, digest_size=32).digest()
        end = row_head(rows[-1])
        self.info = SegmentInfo(rows[0][0], end.seq, len(rows), before, end.hash, digest, len(content))

    def rows(self, after_seq: int = 0) -> Iterator[Row]:
        """Yield the rows that begin after `after_seq`."""
        return (row for row in self._rows if row[0] > after_seq)

    def commits(self, after_seq: int = 0) -> Iterator[Commit]:
        """Yield the commits whose last event is after `after_seq`."""
        for seq, count, recorded_at_ms, blob, row_hash in self._rows:
            if seq + count - 1 > after_seq:
                yield Commit(seq, recorded_at_ms, *self._codec.decode(seq, blob), row_hash)

    def end_at_or_before(self, seq: int) -> Head:
        """Return the end of the last row that ends at or before `seq`."""
        ends = [row_head(row) for row in self._rows]
        return max((end for end in ends if end.seq <= seq), key=lambda end: end.seq, default=self._before)

    def verify(self) -> None:
        """Check every row."""
        for _ in verify_rows(self._rows, self._before, self._codec):
            pass

    def close(self) -> None:
        """Close the file."""
