"""An append-only list reads like a list, and its forks share the full chunks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from papertape.projections.persistence.append_only import CHUNK_LENGTH, AppendOnlyList, Chunk
from papertape.projections.persistence.fork import fork
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


class ReleasedWhenRead(Chunk):
    """A chunk that another thread stores as soon as its items have been looked at."""

    @property
    def _items(self) -> tuple[int, ...] | None:  # type: ignore[override]
        self.reads = getattr(self, "reads", 0) + 1
        return (1, 2) if self.reads == 1 else None


def test_a_chunk_that_is_stored_by_another_thread_meanwhile_is_read() -> None:
    assert ReleasedWhenRead.__new__(ReleasedWhenRead).items == (1, 2)
