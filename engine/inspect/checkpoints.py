"""States kept along a log, so that every event is near one. Chunks that two states share are kept once."""

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
CHECKPOINTS_MAX: Final = 1_024
CHECKPOINTS_BYTES_MAX: Final = 64 << 20
COMPRESSION_LEVEL: Final = 1
"""zlib's quickest: half the bytes for little time."""
CHUNK_BYTES_MIN: Final = 300
"""The memory of a chunk besides its content."""


class _StateChunk(Struct, frozen=True, weakref=True):
    """A compressed chunk of one or more states."""

    packed: bytes

    @property
    def bytes(self) -> int:
        return len(self.packed) + CHUNK_BYTES_MIN


class _StateCheckpoint(Struct, frozen=True):
    """The state after an event."""

    seq: int
    chunks: tuple[_StateChunk, ...]


class StateCheckpoints:
    """The checkpoints of a log, oldest first. If they are too many or too large, the distance doubles."""

    def __init__(
        self,
        count_max: int = CHECKPOINTS_MAX,
        bytes_max: int = CHECKPOINTS_BYTES_MAX,
        distance_events: int = DISTANCE_EVENTS_MIN,
    ) -> None:
        self._count_max, self._bytes_max = count_max, bytes_max
        self._checkpoints: list[_StateCheckpoint] = []
        self._chunks: WeakValueDictionary[bytes, _StateChunk] = WeakValueDictionary()
        self.distance_events = distance_events
        self.total_bytes = 0

    def __len__(self) -> int:
        return len(self._checkpoints)

    def _position(self, seq: int) -> int:
        """Return the number of checkpoints at or before an event."""
        return bisect_right(self._checkpoints, seq, key=lambda one: one.seq)

    def last_before(self, seq: int) -> int:
        """Return the seq of the last checkpoint at or before an event, 0 if there is none."""
        at = self._position(seq)
        return self._checkpoints[at - 1].seq if at else 0

    def contiguous_until(self, seq: int) -> int:
        """Return the last checkpoint that can be reached from an event without a gap between two of them."""
        while (next_seq := self.last_before(seq + 2 * self.distance_events)) > seq:
            seq = next_seq
        return seq

    def state(self, seq: int, strategies: Mapping[str, Strategy]) -> EngineState:
        """Return the state of the last checkpoint at or before an event."""
        checkpoint = self._checkpoints[self._position(seq) - 1]
        return join_state([partial(zlib.decompress, chunk.packed) for chunk in checkpoint.chunks], strategies)

    def offer(self, seq: int, state: EngineState) -> None:
        """Keep a state unless a checkpoint is close before it."""
        if seq - self.last_before(seq) < self.distance_events:
            return
        checkpoint = _StateCheckpoint(seq, tuple(map(self._chunk, split_state(state))))
        self._checkpoints.insert(self._position(seq), checkpoint)
        while len(self) > self._count_max or (len(self) > 1 and self.total_bytes > self._bytes_max):
            self._thin()

    def _chunk(self, content: bytes) -> _StateChunk:
        """Return the chunk with a content: the one that is there, or a new one."""
        key = blake2b(content, digest_size=16).digest()
        chunk = self._chunks.get(key)
        if chunk is None:
            chunk = self._chunks[key] = _StateChunk(zlib.compress(content, COMPRESSION_LEVEL))
            self.total_bytes += chunk.bytes
        return chunk

    def _thin(self) -> None:
        """Double the distance, and drop the checkpoints that are too close to the one before."""
        self.distance_events *= 2
        remaining: list[_StateCheckpoint] = []
        for checkpoint in self._checkpoints:
            if checkpoint.seq - (remaining[-1].seq if remaining else 0) >= self.distance_events:
                remaining.append(checkpoint)
        self._checkpoints = remaining
        self.total_bytes = sum(chunk.bytes for chunk in self._chunks.values())
