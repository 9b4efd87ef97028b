"""A list that only grows: full chunks, which never change again, and a tail.

Forks of a fold share the chunks, and the garbage collector does not walk through them, so a thousand forks of ten
thousand trades cost little more than one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

CHUNK_LENGTH: Final = 128


class _Chunk(Struct, frozen=True):
    """A full chunk of consecutive items."""

    items: tuple[Any, ...]


class AppendOnlyList(Generic[T]):
    """A growing list of immutable items. With `chunks_max` the oldest chunk is dropped once there are more."""

    def __init__(self, chunks_max: int | None = None) -> None:
        self._chunks: list[_Chunk] = []
        self._tail: list[T] = []
        self._chunks_max = chunks_max

    def append(self, item: T) -> None:
        """Append an item."""
        self._tail.append(item)
        if len(self._tail) == CHUNK_LENGTH:
            self._chunks.append(_Chunk(tuple(self._tail)))
            self._tail = []
            if self._chunks_max is not None and len(self._chunks) > self._chunks_max:
                del self._chunks[0]

    def __len__(self) -> int:
        return len(self._chunks) * CHUNK_LENGTH + len(self._tail)

    def __iter__(self) -> Iterator[T]:
        for chunk in self._chunks:
            yield from chunk.items
        yield from self._tail

    def latest(self, limit: int) -> Iterator[T]:
        """Yield at most `limit` items, newest first."""
        remaining = limit
        for items in (self._tail, *[chunk.items for chunk in reversed(self._chunks)]):
            yield from reversed(items[max(0, len(items) - remaining) :] if remaining > 0 else ())
            remaining -= len(items)
