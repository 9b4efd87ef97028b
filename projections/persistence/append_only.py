"""A sequence that only grows: full pieces, which never change again, and a rest.

Copies of a fold share the pieces, and the collector of garbage does not walk through them: a thousand copies of ten
thousand trades cost little more than one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

PIECE_LENGTH: Final = 128


class _Chunk(Struct, frozen=True):
    """So many that follow each other."""

    items: tuple[Any, ...]


class AppendOnlyList(Generic[T]):
    """Takes what never changes itself."""

    def __init__(self) -> None:
        self._pieces: list[_Chunk] = []
        self._rest: list[T] = []

    def append(self, item: T) -> None:
        """One more at the end."""
        self._rest.append(item)
        if len(self._rest) == PIECE_LENGTH:
            self._pieces.append(_Chunk(tuple(self._rest)))
            self._rest = []

    def __len__(self) -> int:
        return len(self._pieces) * PIECE_LENGTH + len(self._rest)

    def __iter__(self) -> Iterator[T]:
        for piece in self._pieces:
            yield from piece.items
        yield from self._rest

    def latest(self, limit: int) -> Iterator[T]:
        """At most `limit`, the newest first."""
        left = limit
        for items in (self._rest, *[piece.items for piece in reversed(self._pieces)]):
            yield from reversed(items[max(0, len(items) - left) :] if left > 0 else ())
            left -= len(items)
