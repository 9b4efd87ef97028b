"""An append-only list reads like a list, and its forks share the full chunks."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papertape.events.errors import SnapshotRefused
from papertape.projections.persistence.append_only import CHUNK_LENGTH, PART_LENGTH, AppendOnlyList, Chunk
from papertape.projections.persistence.fork import fork
from papertape.projections.persistence.packing import pack, unpack
from tests.support import examples


def appended(count: int, first: int = 0) -> AppendOnlyList[int]:
    made: AppendOnlyList[int] = AppendOnlyList()
    for number in range(first, count):
        made.append(number)
    return made


@given(count=st.integers(0, 3 * CHUNK_LENGTH + 1), limit=st.integers(-1, 4 * CHUNK_LENGTH))
@examples(150)
def test_it_reads_like_a_list(count: int, limit: int) -> None:
    found, expected = appended(count), list(range(count))
    assert (len(found), list(found)) == (count, expected)
    assert [found[place] for place in range(count)] == expected
    assert list(found.latest(limit)) == (expected[::-1][:limit] if limit > 0 else [])


def test_a_fork_shares_full_chunks_and_grows_independently() -> None:
    found = appended(2 * CHUNK_LENGTH + 7)
    twin = fork(found)
    assert all(one is other for one, other in zip(found._chunks, twin._chunks, strict=True))
    for number in range(CHUNK_LENGTH):
        twin.append(-number)
    assert list(found) == list(range(2 * CHUNK_LENGTH + 7))
    assert list(twin)[len(found) :] == [-number for number in range(CHUNK_LENGTH)]


def test_a_part_is_encoded_once_for_all_states_that_contain_it() -> None:
    found = appended(PART_LENGTH + 3)
    first = pack(found).state
    (part,) = found._parts
    encoded = part.encoded(lambda _: b"")
    assert encoded in first
    found.append(PART_LENGTH + 3)
    assert encoded in pack(fork(found)).state
    restored: AppendOnlyList[int] = unpack(first)
    assert restored._parts[0]._items is None, "nobody has read it yet"
    assert list(restored) == list(range(PART_LENGTH + 3))
    assert pack(restored).state == first


def test_a_part_cannot_reach_beyond_our_classes() -> None:
    state = pack(appended(PART_LENGTH)).state
    harmless = pickle.dumps(tuple(range(PART_LENGTH)), protocol=5)
    assert harmless in state
    harmful = b"cos\nsystem\n(S'false'\ntR.".ljust(len(harmless), b".")
    restored: AppendOnlyList[int] = unpack(state.replace(harmless, harmful))
    with pytest.raises(SnapshotRefused):
        list(restored)


class ReleasedWhenRead(Chunk):
    """A chunk that another thread stores as soon as its items have been looked at."""

    @property
    def _items(self) -> tuple[int, ...] | None:  # type: ignore[override]
        self.reads = getattr(self, "reads", 0) + 1
        return (1, 2) if self.reads == 1 else None


def test_a_chunk_that_is_stored_by_another_thread_meanwhile_is_read() -> None:
    assert ReleasedWhenRead.__new__(ReleasedWhenRead).items == (1, 2)
