"""Lengths in a segment have limits, and its digest is compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec import structs

from papertape.events.codec import CODEC
from papertape.events.errors import LogDamaged
from papertape.events.segments import block, segment_file
from papertape.events.segments.block import BlockReader
from papertape.events.segments.compression import zstd
from tests.events.segment_rows import rows_of, sealed
from tests.events.test_segments import DAMAGED, market, outcome, outcomes

if TYPE_CHECKING:
    from pathlib import Path


def forged(path: Path, **changed: object) -> bytes:
    """Return a segment whose index says something else about its only block, with checksums that fit."""
    content = path.read_bytes()
    offset = int.from_bytes(content[-segment_file._FOOTER.size :][:8], "little")
    index = msgspec.msgpack.decode(content[offset : -segment_file._FOOTER.size], type=segment_file.Index)
    (block,) = index.blocks
    packed = msgspec.msgpack.encode(structs.replace(index, blocks=[structs.replace(block, **changed)]))
    footer = segment_file._FOOTER.pack(offset, segment_file._checksum(packed), segment_file.MAGIC)
    return content[:offset] + packed + footer


@pytest.mark.parametrize(
    "changed",
    [
        {"content_bytes": 1 << 40},
        {"content_bytes": -1},
        {"content_bytes": 100},
        {"content_bytes": 1 << 20},
        {"length": 1 << 62},
        {"length": -1},
        {"length": 0},
        {"offset": -1},
        {"offset": 1 << 62},
        {"offset": 0},
    ],
)
def test_a_forged_length_is_beyond_a_limit(tmp_path: Path, changed: dict[str, int]) -> None:
    _, path = sealed(tmp_path, rows_of(market(9)))
    (tmp_path / "forged").write_bytes(forged(path, **changed))
    assert set(outcomes(tmp_path / "forged", None)) == {DAMAGED}


def test_no_more_is_decompressed_than_the_limit() -> None:
    bomb = zstd.compress(bytes(block.CONTENT_BYTES_MAX + 1), 1)
    for size, reason in (
        (block.CONTENT_BYTES_MAX + 1, "content cannot have"),
        (1_000, "not 1000 bytes"),
        (1 << 40, "content cannot have"),
    ):
        with pytest.raises(LogDamaged, match=reason):
            BlockReader(7, bomb, size, CODEC)


def test_verifying_compares_the_digest_of_the_whole_file(tmp_path: Path) -> None:
    info, path = sealed(tmp_path, rows_of(market(9)))
    for digest, expected in ((info.digest, "None"), (bytes(32), DAMAGED)):
        assert outcome(path, structs.replace(info, digest=digest), lambda segment: segment.verify()) == expected
