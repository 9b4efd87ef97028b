"""Proving a log: every decision is made again on the recorded inputs and compared with what was recorded.

At the same time the recorded facts are folded without deciding, and every snapshot is compared with the state
the log gives at its seq. Three ways must meet in one digest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.engine.reducer.reducer import apply, decide, groups, is_decision, is_new
from papertape.engine.reducer.snapshot_codec import decode, encode, state_digest
from papertape.engine.reducer.state import new_state
from papertape.engine.strategy_registry import code_digest
from papertape.events.errors import CommandRefused, SnapshotRefused
from papertape.events.facts import EngineStarted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from papertape.engine.kernel.strategy import Strategy
    from papertape.events.log import Entry, LogReader, Recorded
    from papertape.events.snapshots import Snapshot, SnapshotStore

PROGRESS_EVENTS = 5_000


class ReplayMismatch(Struct, frozen=True):
    """The first place where the log and the code do not say the same."""

    seq: int
    recorded: str
    decided: str


class VerificationReport(Struct, frozen=True):
    """What a proof found. `changed_code` is the digest of other code that wrote a part of the log, if any did."""

    events: int
    head_seq: int
    decisions: int
    snapshots: int
    digest: str
    difference: ReplayMismatch | None
    changed_code: str | None


def verify(
    reader: LogReader,
    snapshots: SnapshotStore | None,
    strategies: Mapping[str, Strategy],
    on_progress: Callable[[int], None] = lambda _: None,
) -> VerificationReport:
    """Prove the log up to its head, or up to the first difference. Raises LogDamaged where it does not hold."""
    proof = _Proof(strategies, _by_seq(snapshots, strategies))
    for group in groups(_events(reader, on_progress)):
        difference = proof.check_group(group)
        if difference is not None:
            return proof.result(difference)
    return proof.result(proof.end())


def _events(reader: LogReader, on_progress: Callable[[int], None]) -> Iterator[Recorded]:
    """Every event of the log, its chain checked on the way."""
    for commit in reader.commits():
        for recorded in commit.recorded():
            if recorded.seq % PROGRESS_EVENTS == 0:
                on_progress(recorded.seq)
            yield recorded


def _by_seq(store: SnapshotStore | None, strategies: Mapping[str, Strategy]) -> dict[int, Snapshot]:
    """The snapshots of this code by the seq they stand on."""
    if store is None:
        return {}
    return {snapshot.seq: snapshot for snapshot in store.newest(code_digest(strategies.values()))}


class _Proof:
    """Two worlds on their way through a log: one decides again, one only follows."""

    def __init__(self, strategies: Mapping[str, Strategy], snapshots: dict[int, Snapshot]) -> None:
        self.strategies = strategies
        self.deciding, self.following = new_state(strategies), new_state(strategies)
        self.snapshots = snapshots
        self.seq = self.decisions = self.proved_snapshots = 0
        self.changed_code: str | None = None
        self.code = code_digest(strategies.values())

    def check_group(self, group: Sequence[Recorded]) -> ReplayMismatch | None:
        """An input and its recorded consequences; the first difference, if there is one."""
        head = group[0]
        if is_decision(head.event):
            return ReplayMismatch(head.seq, repr(head.event), "nothing: there is no input before it")
        if not is_new(self.deciding, head.event):
            return ReplayMismatch(head.seq, repr(head.event), "nothing: it is no news")
        if isinstance(head.event, EngineStarted) and head.event.code_digest != self.code:
            self.changed_code = head.event.code_digest
        try:
            entries = decide(self.deciding, head.event, head.seq)
        except CommandRefused as refused:
            return ReplayMismatch(head.seq, repr(head.event), f"refused: {refused}")
        difference = first_difference(group, entries)
        if difference is not None:
            return difference
        apply(self.following, group)
        self.seq = group[-1].seq
        self.decisions += len(group) - 1
        return self._snapshot() if self.seq in self.snapshots else None

    def _snapshot(self) -> ReplayMismatch | None:
        """Compare the snapshot that stands here with the state the log gives."""
        snapshot = self.snapshots[self.seq]
        try:
            same = encode(decode(snapshot.state, self.strategies)) == encode(self.following)
        except SnapshotRefused as refused:
            return ReplayMismatch(self.seq, f"snapshot: {refused}", "a snapshot that can be read")
        if not same:
            return ReplayMismatch(self.seq, "a snapshot with another state", f"state {state_digest(self.following)}")
        self.proved_snapshots += 1
        return None

    def end(self) -> ReplayMismatch | None:
        """At the end both worlds must know the same."""
        decided, followed = state_digest(self.deciding), state_digest(self.following)
        if decided != followed:
            return ReplayMismatch(self.seq, f"followed state {followed}", f"decided state {decided}")
        return None

    def result(self, difference: ReplayMismatch | None) -> VerificationReport:
        """What was found so far."""
        return VerificationReport(
            events=self.seq,
            head_seq=self.seq,
            decisions=self.decisions,
            snapshots=self.proved_snapshots,
            digest=state_digest(self.following),
            difference=difference,
            changed_code=self.changed_code,
        )


def first_difference(group: Sequence[Recorded], entries: Sequence[Entry]) -> ReplayMismatch | None:
    """Where recorded and decided consequences of one input part ways; both events and causes count."""
    for recorded, entry in zip(group, entries, strict=False):
        if recorded.event != entry.event:
            return ReplayMismatch(recorded.seq, repr(recorded.event), repr(entry.event))
        if recorded.cause != entry.cause:
            return ReplayMismatch(recorded.seq, f"cause {recorded.cause}", f"cause {entry.cause}")
    if len(group) > len(entries):
        return ReplayMismatch(group[len(entries)].seq, repr(group[len(entries)].event), "nothing")
    if len(entries) > len(group):
        return ReplayMismatch(group[-1].seq, "nothing more", repr(entries[len(group)].event))
    return None
