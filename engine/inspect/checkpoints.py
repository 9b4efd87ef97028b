"""States kept along a log, so that every event is near one. Chunks that states share are stored once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from papertape.engine.inspect.state_chunks import CHUNK_ROWS, join_state, split_state
from papertape.events.checkpoints.store import SUFFIX, Checkpoint, CheckpointStore, content_digest
from papertape.events.errors import SnapshotRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.reducer.state import EngineState

DISTANCE_EVENTS: Final = 8_192
"""Folding this many events takes about 0.1 s."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[bytes, list[bytes]]).decode


def states_file(folder: Path, digest: str) -> Path:
    """Return the file for the states that the code with a digest makes."""
    return folder / f"{digest}-{CHUNK_ROWS}{SUFFIX}"


class StateCheckpoints:
    """The checkpoints of a log's states, at least `distance_events` apart; without a `store` they are in memory."""

    def __init__(self, store: CheckpointStore | None = None, distance_events: int = DISTANCE_EVENTS) -> None:
        self.store = CheckpointStore(None, lambda _: None) if store is None else store
        self.distance_events = distance_events

    def __len__(self) -> int:
        return len(self.store.seqs())

    def last_before(self, seq: int) -> int:
        """Return the seq of the last checkpoint at or before an event, 0 if there is none or none can be read."""
        try:
            checkpoint = self.store.newest(seq)
        except SnapshotRefused:
            return 0
        return 0 if checkpoint is None else checkpoint.seq

    def contiguous_until(self, seq: int) -> int:
        """Return the last checkpoint that can be reached from an event without a gap between two of them."""
        while (next_seq := self.last_before(seq + 2 * self.distance_events)) > seq:
            seq = next_seq
        return seq

    def state(self, seq: int, strategies: Mapping[str, Strategy]) -> EngineState:
        """Return the state of the last checkpoint at or before an event. Raise SnapshotRefused if it is damaged."""
        content = self.store.load(self.last_before(seq))
        try:
            rest, digests = _decode(content)
            return join_state([lambda: rest, *(partial(self.store.chunk, digest) for digest in digests)], strategies)
        except (msgspec.MsgspecError, ValueError, IndexError, KeyError) as error:
            self.store.refuse(f"a state does not fit this version: {error}")
            raise SnapshotRefused(f"it does not fit this version's state: {error}") from error

    def offer(self, seq: int, state: EngineState, hash_at: Callable[[int], bytes | None]) -> None:
        """Keep a state unless a checkpoint is close before it. A state that cannot be written is not kept."""
        if self.store.only_reads or seq - self.last_before(seq) < self.distance_events:
            return
        rest, *chunks = split_state(state)
        by_digest = {content_digest(chunk): chunk for chunk in chunks}
        content = _encode((rest, list(map(content_digest, chunks))))
        try:
            self.store.save(Checkpoint(seq, 0, hash_at(seq) or b""), content, by_digest)
        except SnapshotRefused:
            return
