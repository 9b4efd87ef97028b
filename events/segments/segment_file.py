"""The file of a sealed segment: `MAGIC`, blocks one after the other, their index, and a footer that finds the index.

Every block has a checksum and is read alone, and the index knows the hash of the chain before each block: reading at a
seq touches one block. The file never changes, so its digest, which the log keeps, names exactly these rows.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, suppress
from hashlib import blake2b
from itertools import chain, dropwhile
from pathlib import Path
from typing import BinaryIO, Final
from weakref import finalize

import msgspec
from msgspec import Struct

from papertape.events.chain import Row, row_hash
from papertape.events.codec import CODEC, Codec
from papertape.events.durable import rename_durably
from papertape.events.errors import LogDamaged, LogError, LogFromNewerVersion, UsageError
from papertape.events.log import Commit, EventStretch, Head, Recorded
from papertape.events.segments.block import BlockReader, pack_block

MAGIC: Final = b"papertape segment 2\n"
"""The format that is written; in the first one no block has a lane for events of several types."""
_MAGICS: Final = (b"papertape segment 1\n", MAGIC)
BLOCK_EVENTS: Final = 4_096
"""A block is complete when it has this many events,"""
BLOCK_BYTES: Final = 4 << 20
"""or when its rows have this many bytes."""
INDEX_BYTES_MAX: Final = 16 << 20
CHECKSUM_BYTES: Final = 16
_FOOTER: Final = struct.Struct(f"<q{CHECKSUM_BYTES}s{len(MAGIC)}s")
_READ_BYTES: Final = 1 << 20


class SegmentInfo(Struct, frozen=True):
    """What identifies a sealed segment: its rows, the chain before and after them, and the digest of its whole file."""

    first_seq: int
    last_seq: int
    rows: int
    hash_before: bytes
    hash_after: bytes
    digest: bytes
    size_bytes: int


class BlockEntry(Struct, frozen=True, array_like=True):
    """Where a block is, what it begins with, and the length of its content."""

    first_seq: int
    offset: int
    length: int
    content_bytes: int
    hash_before: bytes
    checksum: bytes


class Index(Struct, frozen=True, array_like=True):
    """The blocks of a segment."""

    rows: int
    end: tuple[int, bytes]
    blocks: list[BlockEntry]


_encode_index = msgspec.msgpack.Encoder().encode
_decode_index = msgspec.msgpack.Decoder(Index).decode


def segment_path(folder: Path, info: SegmentInfo) -> Path:
    """Return the path of a segment in the folder of a log's segments."""
    return folder / f"{info.first_seq:012d}-{info.last_seq:012d}-{info.digest.hex()[:16]}.segment"


def write_segment(folder: Path, before: Head, rows: Iterable[Row], codec: Codec = CODEC) -> SegmentInfo:
    """Seal rows that follow `before` in a new file of `folder`, durably, and return what identifies it.

    Before the file gets its name, it is read back and every row is compared through the chain of hashes. Raise
    LogDamaged if the rows do not continue the chain, UsageError if there are none, LogError if the file cannot be
    written; then nothing remains of it.
    """
    partial = folder / f".{before.seq + 1:012d}.{os.getpid()}.segment"
    try:
        with partial.open("wb") as file:
            _write(file, before, rows, codec)
            file.flush()
            os.fsync(file.fileno())
        with closing(SegmentFile(partial, codec=codec)) as written:
            written.verify()
        rename_durably(partial, segment_path(folder, written.info))
    except OSError as error:
        raise LogError(f"a segment in {folder} could not be written: {error.strerror}") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return written.info


def _write(file: BinaryIO, before: Head, rows: Iterable[Row], codec: Codec) -> None:
    offset, end, count = file.write(MAGIC), before, 0
    blocks: list[BlockEntry] = []
    for group in _groups(rows, before):
        try:
            packed, size = pack_block(group, codec)
        except OverflowError as error:
            raise LogError(str(error)) from error
        blocks.append(BlockEntry(group[0][0], offset, len(packed), size, end.hash, _checksum(packed)))
        offset, count = offset + file.write(packed), count + len(group)
        end = Head(group[-1][0] + group[-1][1] - 1, group[-1][4])
    if not blocks:
        raise UsageError("a segment holds at least one row")
    index = _encode_index(Index(count, (end.seq, end.hash), blocks))
    file.write(index)
    file.write(_FOOTER.pack(offset, _checksum(index), MAGIC))


def _groups(rows: Iterable[Row], before: Head) -> Iterator[list[Row]]:
    """Yield the rows of each block, each row checked against the chain. Raise LogDamaged."""
    group: list[Row] = []
    events = length = 0
    next_seq, previous_hash = before.seq + 1, before.hash
    for row in rows:
        seq, count, recorded_at_ms, blob, stored_hash = row
        if seq != next_seq or row_hash(previous_hash, seq, count, recorded_at_ms, blob) != stored_hash:
            raise LogDamaged(next_seq, "the row to be sealed does not continue the chain")
        group.append(row)
        events, length = events + count, length + len(blob)
        next_seq, previous_hash = seq + count, stored_hash
        if events >= BLOCK_EVENTS or length >= BLOCK_BYTES:
            yield group
            group, events, length = [], 0, 0
    if group:
        yield group


def _checksum(content: bytes) -> bytes:
    return blake2b(content, digest_size=CHECKSUM_BYTES).digest()


class SegmentFile:
    """Reads a sealed segment. Any thread may use it, but only one at a time.

    A block is checked when it is read; `verify` checks the whole file against its digest and the chain of hashes.
    """

    def __init__(self, path: Path, info: SegmentInfo | None = None, codec: Codec = CODEC) -> None:
        """Open the segment at `path`, which is to be that of `info`; without it, the file is read for its digest.

        Raise LogDamaged if it is another or its index is damaged, LogFromNewerVersion, or LogError if it is missing.
        """
        self._path, self._codec = path, codec
        self._first_seq = 1 if info is None else info.first_seq
        try:
            self._file = path.open("rb")
            self._size = os.fstat(self._file.fileno()).st_size
        except OSError as error:
            raise LogError(f"the segment {path} cannot be read: {error.strerror}") from error
        finalize(self, self._file.close)
        with ExitStack() as undo:
            undo.callback(self.close)
            self._index = self._read_index()
            self.info = self._identity(self._digest() if info is None else info.digest)
            if info not in (None, self.info):
                raise self._damage("it is not the segment that was sealed")
            undo.pop_all()

    def rows(self, after_seq: int = 0) -> Iterator[Row]:
        """Yield the rows that begin after `after_seq`, byte for byte as they were sealed. Raise LogDamaged."""
        for number in self._blocks_from(after_seq):
            yield from (row for row in self._rows_of(number) if row[0] > after_seq)

    def commits(self, after_seq: int = 0) -> Iterator[Commit]:
        """Return the rows whose last event is after `after_seq`, without computing their hashes.

        Raise LogDamaged or LogFromNewerVersion at the first block that cannot be read.
        """
        commits = chain.from_iterable(block.commits() for block in self.blocks(after_seq))
        return dropwhile(lambda commit: commit.last_seq <= after_seq, commits)

    def stretches(self, after_seq: int = 0) -> Iterator[EventStretch]:
        """Yield the events after `after_seq`, block by block, without computing hashes. Raise like `commits`."""
        for number in self._blocks_from(after_seq):
            yield self._block(number).stretch(self._end_of(number).hash).after(after_seq)

    def recorded_at(self, seq: int) -> Recorded | None:
        """Return one event of the segment; None if only reading its whole block finds it. Raise like `commits`."""
        return self._block(self._block_of(seq)).recorded_at(seq)

    def blocks(self, after_seq: int = 0) -> Iterator[BlockReader]:
        """Yield whole blocks, from that of the first event after `after_seq` on, for a fold that reads columns.

        Raise LogDamaged at the first block that cannot be read.
        """
        return map(self._block, self._blocks_from(after_seq))

    def end_at_or_before(self, seq: int) -> Head:
        """Return the end of the last row that ends at or before `seq`, that before the segment if there is none."""
        number = self._block_of(seq)
        end = Head(self._index.blocks[number].first_seq - 1, self._index.blocks[number].hash_before)
        following = self._end_of(number)
        if following.seq <= seq:
            return following
        for first_seq, count, _, _, own_hash in self._rows_of(number) if end.seq < seq else ():
            if first_seq + count - 1 > seq:
                break
            end = Head(first_seq + count - 1, own_hash)
        return end

    def check_digest(self) -> None:
        """Compare the whole open file with its digest. Raise LogDamaged."""
        if self._digest() != self.info.digest:
            raise self._damage("it is not the file that was sealed")

    def verify(self) -> None:
        """Check the file against its digest, and every row against the chain. Raise LogDamaged."""
        self.check_digest()
        count = sum(1 for _ in self.rows())
        if count != self.info.rows:
            raise self._damage(f"it holds {count} rows instead of {self.info.rows}")

    def close(self) -> None:
        """Close the file. Closing twice is harmless."""
        self._file.close()

    def _blocks_from(self, after_seq: int) -> range:
        """Return the numbers of the blocks that can hold events after `after_seq`."""
        first = self._block_of(after_seq + 1) if after_seq < self.info.last_seq else len(self._index.blocks)
        return range(first, len(self._index.blocks))

    def _block_of(self, seq: int) -> int:
        """Return the number of the block that holds `seq`, the nearest one if none does."""
        numbers = (number for number, block in enumerate(self._index.blocks) if block.first_seq <= seq)
        return max(numbers, default=0)

    def _end_of(self, number: int) -> Head:
        """Return the end of a block."""
        if number + 1 == len(self._index.blocks):
            return Head(*self._index.end)
        following = self._index.blocks[number + 1]
        return Head(following.first_seq - 1, following.hash_before)

    def _rows_of(self, number: int) -> list[Row]:
        """Return the rows of a block. Raise LogDamaged if they do not lead to the hash after it."""
        rows = [*self._block(number).rows(self._index.blocks[number].hash_before)]
        seq, count, _, _, own_hash = rows[-1]
        if Head(seq + count - 1, own_hash) != self._end_of(number):
            raise LogDamaged(self._index.blocks[number].first_seq, f"{self._path}: a block does not match its hash")
        return rows

    def _block(self, number: int) -> BlockReader:
        entry = self._index.blocks[number]
        packed = self._read(entry.offset, entry.length)
        if _checksum(packed) != entry.checksum:
            raise LogDamaged(entry.first_seq, f"{self._path}: a block does not match its checksum")
        return BlockReader(entry.first_seq, packed, entry.content_bytes, self._codec)

    def _read_index(self) -> Index:
        """Read and check the index. Raise LogDamaged or LogFromNewerVersion."""
        magic = self._read(0, min(self._size, len(MAGIC)))
        if magic.startswith(MAGIC[:-2]) and magic.endswith(b"\n") and magic[-2:-1].isdigit() and magic > MAGIC:
            raise LogFromNewerVersion(self._first_seq, f"this version does not know the format of {self._path}")
        at = self._size - _FOOTER.size
        if magic not in _MAGICS or at < len(MAGIC):
            raise self._damage("it is not a segment, or is cut off")
        offset, checksum, last_magic = _FOOTER.unpack(self._read(at, _FOOTER.size))
        if last_magic != magic or not 0 <= at - offset <= INDEX_BYTES_MAX:
            raise self._damage("its footer is damaged or cut off")
        packed = self._read(offset, at - offset)
        try:
            index = _decode_index(packed)
        except (ValueError, msgspec.MsgspecError) as error:
            raise self._damage(f"its index cannot be decoded: {error}") from error
        if _checksum(packed) != checksum or not index.blocks:
            raise self._damage("its index does not match its checksum")
        return index

    def _identity(self, digest: bytes) -> SegmentInfo:
        first, index = self._index.blocks[0], self._index
        return SegmentInfo(
            first.first_seq, index.end[0], index.rows, first.hash_before, index.end[1], digest, self._size
        )

    def _digest(self) -> bytes:
        """Return the digest of the whole file."""
        digest = blake2b(digest_size=32)
        for offset in range(0, self._size, _READ_BYTES):
            digest.update(self._read(offset, min(_READ_BYTES, self._size - offset)))
        return digest.digest()

    def _read(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes at `offset`. Raise LogDamaged if the file is shorter, LogError on failure."""
        if not 0 <= offset <= offset + length <= self._size:
            raise self._damage("it is cut off, or names a place beyond its end")
        try:
            self._file.seek(offset)
            content = self._file.read(length)
        except (OSError, ValueError) as error:
            raise LogError(f"the segment {self._path} cannot be read: {error}") from error
        if len(content) != length:
            raise self._damage("it is cut off")
        return content

    def _damage(self, reason: str) -> LogDamaged:
        return LogDamaged(self._first_seq, f"the segment {self._path}: {reason}")
