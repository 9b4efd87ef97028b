"""Rows to be sealed: ordinary ones, and such as only other versions or other programs write."""

from __future__ import annotations

import sys
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import msgspec
import pytest

from papertape.events.chain import Row, next_row, row_hash, row_head, verify_rows
from papertape.events.codec import CODEC, Codec
from papertape.events.log import Commit, Entry, Head
from papertape.events.segments import order
from papertape.events.segments.segment_file import SegmentFile, SegmentInfo, segment_path, write_segment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from papertape.events.facts import Event

BEFORE = Head(40, bytes(range(32)))
"""Where the log ended before the rows of a test."""


def rows_of(commits: Iterable[Sequence[Event]], before: Head = BEFORE) -> list[Row]:
    """Return a row of each list of events; the last event of a row is caused by the first."""
    rows: list[Row] = []
    for number, events in enumerate(commits):
        head = row_head(rows[-1]) if rows else before
        entries = [
            Entry(event, head.seq + 1 if 0 < place == len(events) - 1 else 0) for place, event in enumerate(events)
        ]
        rows.append(next_row(head, entries, 1_700_000_000_000 + 977 * number, CODEC))
    return rows


def rows_with(*blobs: tuple[int, bytes], before: Head = BEFORE, recorded_at_ms: int = 7) -> list[Row]:
    """Return rows of given counts and blobs, whatever these hold."""
    rows: list[Row] = []
    for count, blob in blobs:
        head = row_head(rows[-1]) if rows else before
        seq = head.seq + 1
        rows.append((seq, count, recorded_at_ms, blob, row_hash(head.hash, seq, count, recorded_at_ms, blob)))
    return rows


def blob_of(*events: object, causes: Sequence[int] | None = None) -> bytes:
    return msgspec.msgpack.encode((events, [0] * len(events) if causes is None else causes))


def sealed(folder: Path, rows: Sequence[Row], before: Head = BEFORE, codec: Codec = CODEC) -> tuple[SegmentInfo, Path]:
    info = write_segment(folder, before, iter(rows), codec)
    return info, segment_path(folder, info)


def read_back(path: Path, info: SegmentInfo | None = None, codec: Codec = CODEC) -> tuple[list[Row], list[Commit]]:
    """Return what a segment holds; it is the same with numpy and without."""
    read: list[tuple[list[Row], list[Commit]]] = []
    for way in (always_numpy, without_numpy):
        with way(), closing(SegmentFile(path, info, codec)) as segment:
            read.append((list(segment.rows()), list(segment.commits())))
    (rows, commits), (plain_rows, plain_commits) = read
    assert (rows, bytes_of(commits)) == (plain_rows, bytes_of(plain_commits))
    return rows, commits


@contextmanager
def always_numpy() -> Iterator[None]:
    """Decode by numpy however few values there are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(order, "NUMPY_VALUES_MIN", 1)
        order.load_numpy()
        assert "numpy" in sys.modules
        yield


@contextmanager
def without_numpy() -> Iterator[None]:
    """Decode as if numpy were not loaded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(sys.modules, "numpy", raising=False)
        yield


def bytes_of(commits: Iterable[Commit]) -> list[bytes]:
    """Return what commits hold, to the bit: NaN equals itself, and a negative zero differs from zero."""
    return [msgspec.msgpack.encode((one.seq, one.recorded_at_ms, one.events, one.causes)) for one in commits]


def commits_of(rows: Sequence[Row], before: Head = BEFORE, codec: Codec = CODEC) -> list[Commit]:
    """Return what the log itself reads from the rows."""
    return list(verify_rows(rows, before, codec))
