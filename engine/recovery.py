"""Start-up is recovery: the newest good snapshot, then the events after it.

Losing every snapshot loses nothing but time. Whoever only looks at the past (`replay`, `why`) comes the same way.
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
    """A world at the head of a log, and how it came there."""

    world: EngineState
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
    """The world after the event `until_seq`, the newest by default.

    Raises LogDamaged or LogFromNewerVersion when the log does not hold, ConfigError when it needs a strategy
    that is not there.
    """
    started = time.perf_counter()
    world, snapshot_seq = from_snapshot(reader, snapshots, strategies, until_seq)
    hit("during_recovery")
    counted = _ProgressReporter(snapshot_seq, on_progress)
    fold(world, counted.events(reader, until_seq))
    took_ms = (time.perf_counter() - started) * 1000.0
    return RecoveredState(world, counted.seq, snapshot_seq, counted.seq - snapshot_seq, took_ms)


def from_snapshot(
    reader: LogReader,
    snapshots: SnapshotStore | None,
    strategies: Mapping[str, Strategy],
    until_seq: int | None,
) -> tuple[EngineState, int]:
    """The world of the newest snapshot up to an event that fits log and code, or an empty one at the beginning."""
    for snapshot in _fitting(reader, snapshots, strategies):
        if until_seq is not None and snapshot.seq > until_seq:
            continue
        try:
            return decode(snapshot.state, strategies), snapshot.seq
        except SnapshotRefused as refused:
            assert snapshots is not None
            snapshots.set_aside(snapshot, str(refused))
    return new_state(strategies), 0


def _fitting(
    reader: LogReader, snapshots: SnapshotStore | None, strategies: Mapping[str, Strategy]
) -> Iterator[Snapshot]:
    """Snapshots of this code that stand on this log, newest first; others are set aside."""
    if snapshots is None:
        return
    for snapshot in snapshots.newest(code_digest(strategies.values())):
        if reader.hash_at(snapshot.seq) == snapshot.hash:
            yield snapshot
        else:
            snapshots.set_aside(snapshot, f"the log has another event at seq {snapshot.seq}")


class _ProgressReporter:
    """Counts the events on their way, and tells the progress now and then."""

    EVENTS_A_STEP = 10_000

    def __init__(self, seq: int, on_progress: Callable[[int], None]) -> None:
        self.seq = seq
        self._on_progress = on_progress

    def events(self, reader: LogReader, until_seq: int | None) -> Iterator[Recorded]:
        """The events beyond where the count stands."""
        for commit in reader.commits(self.seq):
            for recorded in commit.recorded():
                if until_seq is not None and recorded.seq > until_seq:
                    return
                self.seq = recorded.seq
                if recorded.seq % self.EVENTS_A_STEP == 0:
                    self._on_progress(recorded.seq)
                yield recorded
