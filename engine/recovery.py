"""Recover a state from the log: the newest intact snapshot, then the events after it.

Every start of the engine is a recovery. Losing all snapshots costs only time. Commands that read an earlier state
(`replay`, `why`) use the same code.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.engine.reducer.reducer import fold
from papertape.engine.reducer.snapshot_codec import decode
from papertape.engine.reducer.state import EngineState, new_state
from papertape.engine.strategy_registry import code_digest
from papertape.events.errors import SnapshotRefused
from papertape.events.failpoints import hit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from papertape.engine.kernel.strategy import Strategy
    from papertape.events.log import LogReader, Recorded
    from papertape.events.snapshots import Snapshot, SnapshotStore


class RecoveredState(Struct):
    """A state after the event `seq`, and how it was recovered."""

    state: EngineState
    seq: int
    snapshot_seq: int
    replayed_events: int
    took_ms: float


def recover(
    reader: LogReader,
    snapshots: SnapshotStore | None,
    strategies: Mapping[str, Strategy],
    until_seq: int | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> RecoveredState:
    """Return the state after the event `until_seq`, the newest by default.

    Raise LogDamaged or LogFromNewerVersion if the log cannot be read, ConfigError if a strategy in it is missing.
    """
    started = time.perf_counter()
    state, snapshot_seq = from_snapshot(reader, snapshots, strategies, until_seq)
    hit("during_recovery")
    progress = ProgressReporter(snapshot_seq, on_progress)
    fold(state, progress.events(reader, until_seq))
    took_ms = (time.perf_counter() - started) * 1000.0
    return RecoveredState(state, progress.seq, snapshot_seq, progress.seq - snapshot_seq, took_ms)


def from_snapshot(
    reader: LogReader,
    snapshots: SnapshotStore | None,
    strategies: Mapping[str, Strategy],
    until_seq: int | None,
) -> tuple[EngineState, int]:
    """Return the state and seq of the newest usable snapshot up to `until_seq`, or an empty state and 0."""
    return next(usable_snapshots(reader, snapshots, strategies, until_seq), (new_state(strategies), 0))


def usable_snapshots(
    reader: LogReader,
    snapshots: SnapshotStore | None,
    strategies: Mapping[str, Strategy],
    until_seq: int | None = None,
) -> Iterator[tuple[EngineState, int]]:
    """Yield the states and seqs of the usable snapshots up to `until_seq`, newest first."""
    for snapshot in _fitting(reader, snapshots, strategies):
        if until_seq is not None and snapshot.seq > until_seq:
            continue
        try:
            yield decode(snapshot.state, strategies), snapshot.seq
        except SnapshotRefused as refused:
            assert snapshots is not None
            snapshots.set_aside(snapshot, str(refused))


def _fitting(
    reader: LogReader, snapshots: SnapshotStore | None, strategies: Mapping[str, Strategy]
) -> Iterator[Snapshot]:
    """Yield the snapshots of this code that belong to this log, newest first; set others aside."""
    if snapshots is None:
        return
    for snapshot in snapshots.newest(code_digest(strategies.values())):
        if reader.hash_at(snapshot.seq) == snapshot.hash:
            yield snapshot
        else:
            snapshots.set_aside(snapshot, f"the log has another event at seq {snapshot.seq}")


class ProgressReporter:
    """Tracks the seq of the events that pass through it, and reports the progress from time to time."""

    EVENTS_PER_REPORT = 5_000

    def __init__(self, seq: int, on_progress: Callable[[int], None]) -> None:
        self.seq = seq
        self._on_progress = on_progress

    def events(self, reader: LogReader, until_seq: int | None = None) -> Iterator[Recorded]:
        """Yield the events after `seq`, up to `until_seq`."""
        for commit in reader.commits(self.seq):
            for recorded in commit.recorded():
                if until_seq is not None and recorded.seq > until_seq:
                    return
                assert recorded.seq == self.seq + 1, f"a gap: seq {recorded.seq} follows seq {self.seq}"
                self.seq = recorded.seq
                if recorded.seq % self.EVENTS_PER_REPORT == 0:
                    self._on_progress(recorded.seq)
                yield recorded
