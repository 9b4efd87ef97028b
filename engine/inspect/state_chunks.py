"""The world in parts, of which worlds that are near to each other along a log have most in common.

Most of a world is rings: a row comes once, stays, and is written over much later. They are cut at fixed rows, through
all symbols at once, so a stretch of log changes few of the parts, and who keeps many worlds keeps what is equal once.
A world that is put together again unpacks a part when one of its rows is first looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import msgspec

from papertape.engine.kernel.state import HISTORY_BARS_MAX, READINGS_MAX, Bar, OpenInterest
from papertape.engine.reducer.snapshot_codec import SavedState, restore_state, to_snapshot_without_rings
from papertape.engine.reducer.state import new_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.reducer.state import EngineState

Row = TypeVar("Row")

PART_ROWS: Final = 16
"""Rows of each symbol in a part: a power of two that divides every ring."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(SavedState).decode
_decode_readings = msgspec.msgpack.Decoder(list[list[OpenInterest]]).decode
_decode_bars = msgspec.msgpack.Decoder(list[list[Bar]]).decode


class _LazyChunk(Generic[Row]):
    """Some rows of every symbol's ring, which are unpacked when one of them is first looked at."""

    __slots__ = ("_rows", "_unpack")

    def __init__(self, unpack: Callable[[], list[list[Row]]]) -> None:
        self._unpack = unpack
        self._rows: list[list[Row]] | None = None

    def rows_of_symbol(self, symbol: int) -> list[Row]:
        """The rows of a symbol."""
        if self._rows is None:
            self._rows = self._unpack()
        return self._rows[symbol]


class LazyRing(Sequence[Row], Generic[Row]):
    """One symbol's ring, made of parts."""

    __slots__ = ("_parts", "_symbol")

    def __init__(self, symbol: int, parts: Sequence[_LazyChunk[Row]]) -> None:
        self._symbol, self._parts = symbol, parts

    def __len__(self) -> int:
        return len(self._parts) * PART_ROWS

    def __getitem__(self, at: int) -> Row:  # type: ignore[override]
        return self._parts[at // PART_ROWS].rows_of_symbol(self._symbol)[at % PART_ROWS]

    def __iter__(self) -> Iterator[Row]:
        for part in self._parts:
            yield from part.rows_of_symbol(self._symbol)


def split_state(world: EngineState) -> Iterator[bytes]:
    """Everything but the rings, then the rings piece by piece."""
    yield _encode(to_snapshot_without_rings(world))
    for rings in _rings(world):
        rows = [list(ring) for ring in rings]
        for first in range(0, len(rows[0]) if rows else 0, PART_ROWS):
            yield _encode([ring[first : first + PART_ROWS] for ring in rows])


def _rings(world: EngineState) -> Iterator[Sequence[Sequence[Any]]]:
    """The rings of all symbols by what they hold, in an order that depends on what they are only."""
    yield world.readings
    for timeframe_ms in sorted(world.series):
        yield world.series[timeframe_ms].bars


def join_state(parts: Sequence[Callable[[], bytes]], strategies: Mapping[str, Strategy]) -> EngineState:
    """The world of its parts, each of which is asked for once at most; it shares nothing with another one.

    It follows what was recorded: to decide, its runners have no room.
    """
    world = new_state(strategies)
    world.bare = True
    restore_state(_decode(parts[0]()), world)
    world.bare = False
    symbols, following = range(len(world.symbols)), iter(parts[1:])
    readings = _late(_decode_readings, islice(following, READINGS_MAX // PART_ROWS))
    world.readings = [LazyRing(symbol, readings) for symbol in symbols]
    for timeframe_ms in sorted(world.series):
        bars = _late(_decode_bars, islice(following, HISTORY_BARS_MAX // PART_ROWS))
        world.series[timeframe_ms].bars = [LazyRing(symbol, bars) for symbol in symbols]
    return world


def _late(
    decode: Callable[[bytes], list[list[Row]]], parts: Iterable[Callable[[], bytes]]
) -> Sequence[_LazyChunk[Row]]:
    """Parts that are decoded when they are needed."""
    return [_LazyChunk(lambda part=part: decode(part())) for part in parts]  # type: ignore[misc]
