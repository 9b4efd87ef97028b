"""A list that only grows: full chunks, which never change again, the parts of the next chunk, and a tail.

Forks of a fold share the chunks, and so do its checkpoints on disk. A chunk that is stored there is read when somebody
iterates over it, so that the memory of a long list does not grow with its length. A part does not change either: it is
encoded once for all checkpoints that contain it, and decoded when somebody iterates over it.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")

PART_LENGTH: Final = 16
CHUNK_PARTS: Final = 8
CHUNK_LENGTH: Final = PART_LENGTH * CHUNK_PARTS


class Chunk:
    """A full chunk of consecutive items: in memory, or stored under a key."""

    __slots__ = ("_items", "_load", "key")

    def __init__(self, items: tuple[Any, ...]) -> None:
        self._items: tuple[Any, ...] | None = items
        self._load: Callable[[bytes], tuple[Any, ...]] | None = None
        self.key = b""

    @property
    def items(self) -> tuple[Any, ...]:
        """The items. Raises SnapshotRefused if the place where they are stored cannot be trusted."""
        items = self._items  # Once: a thread that stores the chunk may release them now.
        if items is not None:
            return items
        assert self._load is not None, "a chunk is in memory or stored"
        return self._load(self.key)

    def keep_stored(self, key: bytes, load: Callable[[bytes], tuple[Any, ...]]) -> None:
        """Release the items: they are stored, and `load` returns them."""
        self.key, self._load, self._items = key, load, None


class Part:
    """Consecutive items that are in memory, encoded, or both."""

    __slots__ = ("_decode", "_encoded", "_items")

    def __init__(
        self, items: tuple[Any, ...] | None, encoded: bytes = b"", decode: Callable[[bytes], tuple[Any, ...]] = tuple
    ) -> None:
        """Keep the items; without them, `decode` makes them from `encoded` when they are needed."""
        self._items, self._encoded, self._decode = items, encoded, decode

    @property
    def items(self) -> tuple[Any, ...]:
        """The items. Raises SnapshotRefused if they cannot be decoded."""
        if self._items is None:
            self._items = self._decode(self._encoded)
        return self._items

    def encoded(self, encode: Callable[[tuple[Any, ...]], bytes]) -> bytes:
        """Return the items as bytes; `encode` makes them the first time."""
        if not self._encoded:
            self._encoded = encode(self.items)
        return self._encoded


class AppendOnlyList(Generic[T]):
    """A growing list of immutable items. With `chunks_max` the oldest chunk is dropped once there are more."""

    def __init__(self, chunks_max: int | None = None) -> None:
        self._chunks: list[Chunk] = []
        self._parts: list[Part] = []
        self._tail: list[T] = []
        self._chunks_max = chunks_max

    def append(self, item: T) -> None:
        """Append an item."""
        self._tail.append(item)
        if len(self._tail) == PART_LENGTH:
            self._parts.append(Part(tuple(self._tail)))
            self._tail = []
            if len(self._parts) == CHUNK_PARTS:
                self._end_chunk()

    def _end_chunk(self) -> None:
        self._chunks.append(Chunk(tuple(chain.from_iterable(part.items for part in self._parts))))
        self._parts = []
        if self._chunks_max is not None and len(self._chunks) > self._chunks_max:
            del self._chunks[0]

    def __len__(self) -> int:
        return len(self._chunks) * CHUNK_LENGTH + len(self._parts) * PART_LENGTH + len(self._tail)

    def __getitem__(self, place: int) -> T:
        chunk, rest = divmod(place, CHUNK_LENGTH)
        if chunk < len(self._chunks):
            found: T = self._chunks[chunk].items[rest]
            return found
        part, rest = divmod(place - len(self._chunks) * CHUNK_LENGTH, PART_LENGTH)
        items: Sequence[T] = self._parts[part].items if part < len(self._parts) else self._tail
        return items[rest]

    def __iter__(self) -> Iterator[T]:
        pieces: list[Chunk | Part] = [*self._chunks, *self._parts]
        for piece in pieces:
            yield from piece.items
        yield from self._tail

    def latest(self, limit: int) -> Iterator[T]:
        """Yield at most `limit` items, newest first."""
        remaining = limit
        pieces: list[list[T] | Chunk | Part] = [self._tail, *reversed(self._parts), *reversed(self._chunks)]
        for piece in pieces:
            if remaining <= 0:
                return
            some: Sequence[T] = piece if isinstance(piece, list) else piece.items
            yield from reversed(some[max(0, len(some) - remaining) :])
            remaining -= len(some)
