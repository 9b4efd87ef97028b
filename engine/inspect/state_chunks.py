"""The state in chunks, most of which are equal in states that are close to each other along a log.

Most of a state is rings, whose rows are written once and overwritten much later. They are cut at fixed rows, through
all symbols at once, so a stretch of log changes few of the chunks, and equal chunks of many states are kept once. A
restored state unpacks a chunk when one of its rows is first read.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import msgspec

from papertape.engine.kernel.state import READINGS_MAX, Bar, OpenInterest
from papertape.engine.reducer.snapshot_codec import SavedState, restore_state, to_snapshot_without_rings
from papertape.engine.reducer.state import new_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.reducer.state import EngineState

Row = TypeVar("Row")

CHUNK_ROWS: Final = 16
"""Rows of each symbol in a chunk: a power of two that divides every ring."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(SavedState).decode
_decode_readings = msgspec.msgpack.Decoder(list[list[OpenInterest]]).decode
_decode_bars = msgspec.msgpack.Decoder(list[list[Bar]]).decode


class _LazyChunk(Generic[Row]):
    """Some rows of every symbol's ring, unpacked when one of them is first read."""

    __slots__ = ("_rows", "_unpack")

    def __init__(self, unpack: Callable[[], list[list[Row]]]) -> None:
        self._unpack = unpack
        self._rows: list[list[Row]] | None = None

    def rows_of_symbol(self, symbol: int) -> list[Row]:
        """Return the rows of a symbol."""
        if self._rows is None:
            self._rows = self._unpack()
        return self._rows[symbol]


class LazyRing(Sequence[Row], Generic[Row]):
    """One symbol's ring, made of chunks."""

    __slots__ = ("_chunks", "_symbol")

    def __init__(self, symbol: int, chunks: Sequence[_LazyChunk[Row]]) -> None:
        self._symbol, self._chunks = symbol, chunks

    def __len__(self) -> int:
        return len(self._chunks) * CHUNK_ROWS

    def __getitem__(self, at: int) -> Row:  # type: ignore[override]
        return self._chunks[at // CHUNK_ROWS].rows_of_symbol(self._symbol)[at % CHUNK_ROWS]

    def __iter__(self) -> Iterator[Row]:
        for chunk in self._chunks:
            yield from chunk.rows_of_symbol(self._symbol)


def split_state(state: EngineState) -> Iterator[bytes]:
    """Yield everything but the rings, then the rings chunk by chunk."""
    yield _encode(to_snapshot_without_rings(state))
    for rings in _rings(state):
        rows = [list(ring) for ring in rings]
        for first in range(0, len(rows[0]) if rows else 0, CHUNK_ROWS):
            yield _encode([ring[first : first + CHUNK_ROWS] for ring in rows])


def _rings(state: EngineState) -> Iterator[Sequence[Sequence[Any]]]:
    """Yield the rings of all symbols, in an order that depends only on the timeframes."""
    yield state.readings
    for timeframe_ms in sorted(state.series):
        yield state.series[timeframe_ms].bars


def join_state(chunks: Sequence[Callable[[], bytes]], strategies: Mapping[str, Strategy]) -> EngineState:
    """Restore a state from its chunks, each read at most once; it shares nothing with another state.

    It can only apply recorded events: its runners have no room for decisions.
    """
    state = new_state(strategies)
    state.bare = True
    restore_state(_decode(chunks[0]()), state)
    state.bare = False
    symbols, following = range(len(state.symbols)), iter(chunks[1:])
    readings = _lazy(_decode_readings, islice(following, READINGS_MAX // CHUNK_ROWS))
    state.readings = [LazyRing(symbol, readings) for symbol in symbols]
    for timeframe_ms in sorted(state.series):
        series = state.series[timeframe_ms]
        bars = _lazy(_decode_bars, islice(following, series.rows // CHUNK_ROWS))
        series.replace(series.series, [LazyRing(symbol, bars) for symbol in symbols])
    return state


def _lazy(
    decode: Callable[[bytes], list[list[Row]]], chunks: Iterable[Callable[[], bytes]]
) -> Sequence[_LazyChunk[Row]]:
    """Return chunks that are decoded when they are read."""
    return [_LazyChunk(lambda chunk=chunk: decode(chunk())) for chunk in chunks]  # type: ignore[misc]
