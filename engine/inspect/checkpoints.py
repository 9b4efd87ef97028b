"""Worlds kept along a log, so that no event is far from one. What two of them have in common is kept once."""

from __future__ import annotations

import zlib
from bisect import bisect_right
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

from msgspec import Struct

from papertape.engine.inspect.state_chunks import join_state, split_state

if TYPE_CHECKING:
    from collections.abc import Mapping

    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.reducer.state import EngineState

DISTANCE_EVENTS_MIN: Final = 1_024
PLACES_MAX: Final = 1_024
PLACES_BYTES_MAX: Final = 64 << 20
PACKING: Final = 1
"""zlib's quickest: half the bytes for little time."""
PART_BYTES_MIN: Final = 300
"""What a part takes beside its content."""


class _StateChunk(Struct, frozen=True, weakref=True):
    """A piece of one world or of many, packed."""

    packed: bytes

    @property
    def bytes(self) -> int:
        return len(self.packed) + PART_BYTES_MIN


class _StateCheckpoint(Struct, frozen=True):
    """The world after an event."""

    seq: int
    parts: tuple[_StateChunk, ...]


class StateCheckpoints:
    """The places of a log, oldest first. When they are too many, or too large, the distance doubles."""

    def __init__(
        self,
        count_max: int = PLACES_MAX,
        bytes_max: int = PLACES_BYTES_MAX,
        distance_events: int = DISTANCE_EVENTS_MIN,
    ) -> None:
        self._count_max, self._bytes_max = count_max, bytes_max
        self._kept: list[_StateCheckpoint] = []
        self._parts: WeakValueDictionary[bytes, _StateChunk] = WeakValueDictionary()
        self.distance_events = distance_events
        self.total_bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def last_before(self, seq: int) -> int:
        """Where the last one at or before an event stands, 0 where there is none."""
        at = bisect_right(self._kept, seq, key=lambda one: one.seq)
        return self._kept[at - 1].seq if at else 0

    def contiguous_until(self, seq: int) -> int:
        """The last place that is come to from an event without a gap between two of them."""
        while (next_seq := self.last_before(seq + 2 * self.distance_events)) > seq:
            seq = next_seq
        return seq

    def world(self, seq: int, strategies: Mapping[str, Strategy]) -> EngineState:
        """The world of the place at an event."""
        at = bisect_right(self._kept, seq, key=lambda one: one.seq)
        return join_state([partial(zlib.decompress, part.packed) for part in self._kept[at - 1].parts], strategies)

    def offer(self, seq: int, world: EngineState) -> None:
        """Keep the world where no place is near before it."""
        if seq - self.last_before(seq) < self.distance_events:
            return
        at = bisect_right(self._kept, seq, key=lambda one: one.seq)
        self._kept.insert(at, _StateCheckpoint(seq, tuple(map(self._part, split_state(world)))))
        while len(self._kept) > self._count_max or (len(self._kept) > 1 and self.total_bytes > self._bytes_max):
            self._thin()

    def _part(self, content: bytes) -> _StateChunk:
        """The part with a content: the one there is, or a new one."""
        key = blake2b(content, digest_size=16).digest()
        part = self._parts.get(key)
        if part is None:
            part = self._parts[key] = _StateChunk(zlib.compress(content, PACKING))
            self.total_bytes += part.bytes
        return part

    def _thin(self) -> None:
        """Double the distance, and let those go that stand too near to the one before, with what only they had."""
        self.distance_events *= 2
        kept: list[_StateCheckpoint] = []
        for place in self._kept:
            if place.seq - (kept[-1].seq if kept else 0) >= self.distance_events:
                kept.append(place)
        self._kept = kept
        self.total_bytes = sum(part.bytes for part in self._parts.values())
