"""Verify a log: repeat every decision on the recorded inputs and compare it with the recorded one.

At the same time, fold the recorded facts without deciding, and compare every snapshot with the folded state at its seq.
All three must lead to the same digest.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from papertape.engine.recovery import ProgressReporter
from papertape.engine.reducer.reducer import apply, decide, groups, is_decision, is_new
from papertape.engine.reducer.snapshot_codec import decode, encode, state_digest
from papertape.engine.reducer.state import new_state
from papertape.engine.strategy_registry import code_digest
from papertape.events.errors import CommandRefused, SnapshotRefused
from papertape.events.facts import EngineStarted, RunnerConfigured

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from papertape.engine.kernel.strategy import Strategy
    from papertape.events.facts import Event
    from papertape.events.log import Entry, LogReader, Recorded
    from papertape.events.snapshots import Snapshot, SnapshotStore


class ReplayMismatch(Struct, frozen=True):
    """The first place where the log and the code differ; strategy and symbol are empty where none is concerned."""

    seq: int
    recorded: str
    decided: str
    strategy: str = ""
    symbol: str = ""


class VerificationReport(Struct, frozen=True):
    """The result of a verification. `changed_code` is the digest of other code that wrote a part of the log, if any.

    `folded` are strategies that could not be asked, each with the reason: their decisions were applied, not repeated.
    Events up to `verified_before` were verified by an earlier run of the same code, and only counted here.
    """

    events: int
    head_seq: int
    decisions: int
    snapshots: int
    digest: str
    difference: ReplayMismatch | None
    changed_code: str | None
    folded: dict[str, str] = {}
    verified_before: int = 0


class _VerifiedPart(Struct, frozen=True):
    """The state after a part of a log of which every decision was repeated, and what was counted on the way."""

    state: bytes
    decisions: int
    snapshots: int
    changed_code: str | None


def verify(
    reader: LogReader,
    snapshots: SnapshotStore | None,
    strategies: Mapping[str, Strategy],
    on_progress: Callable[[int], None] = lambda _: None,
    verified: SnapshotStore | None = None,
    *,
    full: bool = False,
) -> VerificationReport:
    """Verify the log up to its head, or up to the first difference. Raise LogDamaged for a damaged row.

    `verified` remembers how far this code got without a difference: the next run begins there, unless it is `full`.
    """
    verification = _Verification(strategies, _by_seq(snapshots, strategies))
    if verified is not None and not full:
        verification.resume(reader, verified)
    for group in groups(ProgressReporter(verification.seq, on_progress).events(reader)):
        difference = verification.check_group(group)
        if difference is not None:
            return verification.report(difference)
    report = verification.report(verification.compare_states())
    if verified is not None and report.difference is None:
        verification.remember(reader, verified)
    return report


def _by_seq(store: SnapshotStore | None, strategies: Mapping[str, Strategy]) -> dict[int, Snapshot]:
    """Return the snapshots of this code by seq."""
    if store is None:
        return {}
    return {snapshot.seq: snapshot for snapshot in store.newest(code_digest(strategies.values()))}


class _Verification:
    """Two states on their way through a log: `decided` decides again, `folded` only applies the recorded events."""

    def __init__(self, strategies: Mapping[str, Strategy], snapshots: dict[int, Snapshot]) -> None:
        self.strategies = strategies
        self.decided, self.folded = new_state(strategies), new_state(strategies)
        self.snapshots = snapshots
        self.seq = self.decisions = self.verified_snapshots = self.verified_before = 0
        self.changed_code: str | None = None
        self.absent: dict[str, str] = {}
        self.code = code_digest(strategies.values())

    def resume(self, reader: LogReader, verified: SnapshotStore) -> None:
        """Continue after the part that an earlier run verified, if it is a part of this log."""
        for snapshot in verified.newest(self.code):
            if reader.hash_at(snapshot.seq) != snapshot.hash:
                verified.set_aside(snapshot, f"the log has another event at seq {snapshot.seq}")
                continue
            part = msgspec.msgpack.decode(snapshot.state, type=_VerifiedPart)
            self.decided, self.folded = decode(part.state, self.strategies), decode(part.state, self.strategies)
            self.seq = self.verified_before = snapshot.seq
            self.decisions, self.verified_snapshots = part.decisions, part.snapshots
            self.changed_code = part.changed_code
            for runner in self.decided.runners:
                self._note_absent(runner.strategy.name)
            return

    def remember(self, reader: LogReader, verified: SnapshotStore) -> None:
        """Remember the part that was verified, for the next run; a folder that cannot be written costs only time."""
        row_hash = reader.hash_at(self.seq)
        if row_hash is None or self.seq == self.verified_before:
            return
        part = _VerifiedPart(encode(self.decided), self.decisions, self.verified_snapshots, self.changed_code)
        with suppress(SnapshotRefused):
            verified.save(self.seq, row_hash, self.code, msgspec.msgpack.encode(part))

    def check_group(self, group: Sequence[Recorded]) -> ReplayMismatch | None:
        """Check an input and its recorded consequences; return the first difference, if any."""
        head = group[0]
        if is_decision(head.event):
            return ReplayMismatch(head.seq, repr(head.event), "nothing: there is no input before it")
        if not is_new(self.decided, head.event):
            return ReplayMismatch(head.seq, repr(head.event), "nothing: it repeats what is known")
        if isinstance(head.event, EngineStarted) and head.event.code_digest != self.code:
            self.changed_code = head.event.code_digest
        try:
            entries = decide(self.decided, head.event, head.seq, group[1:])
        except CommandRefused as refused:
            return ReplayMismatch(head.seq, repr(head.event), f"refused: {refused}")
        difference = first_difference(group, entries)
        if difference is not None:
            return difference
        apply(self.folded, group)
        if isinstance(head.event, RunnerConfigured):
            self._note_absent(head.event.strategy)
        self.seq = group[-1].seq
        self.decisions += len(group) - 1
        return self._check_snapshot() if self.seq in self.snapshots else None

    def _note_absent(self, name: str) -> None:
        """Note a strategy that cannot be asked under its new configuration."""
        fault = self.decided.runner(name).strategy.fault
        if fault:
            self.absent[name] = fault

    def _check_snapshot(self) -> ReplayMismatch | None:
        """Compare the snapshot at this seq with the folded state."""
        snapshot = self.snapshots[self.seq]
        try:
            is_same = encode(decode(snapshot.state, self.strategies)) == encode(self.folded)
        except SnapshotRefused as refused:
            return ReplayMismatch(self.seq, f"snapshot: {refused}", "a readable snapshot")
        if not is_same:
            return ReplayMismatch(self.seq, "a snapshot with another state", f"state {state_digest(self.folded)}")
        self.verified_snapshots += 1
        return None

    def compare_states(self) -> ReplayMismatch | None:
        """Compare the decided state with the folded one."""
        decided, folded = state_digest(self.decided), state_digest(self.folded)
        if decided != folded:
            return ReplayMismatch(self.seq, f"folded state {folded}", f"decided state {decided}")
        return None

    def report(self, difference: ReplayMismatch | None) -> VerificationReport:
        """Return the result so far."""
        return VerificationReport(
            events=self.seq,
            head_seq=self.seq,
            decisions=self.decisions,
            snapshots=self.verified_snapshots,
            digest=state_digest(self.folded),
            difference=difference,
            changed_code=self.changed_code,
            folded=self.absent,
            verified_before=self.verified_before,
        )


def first_difference(group: Sequence[Recorded], entries: Sequence[Entry]) -> ReplayMismatch | None:
    """Return the first difference between the recorded and the decided consequences of one input, causes included."""
    for recorded, entry in zip(group, entries, strict=False):
        if recorded.event != entry.event:
            return mismatch(recorded.seq, recorded.event, entry.event)
        if recorded.cause != entry.cause:
            strategy, symbol = subject_of(recorded.event)
            return ReplayMismatch(recorded.seq, f"cause {recorded.cause}", f"cause {entry.cause}", strategy, symbol)
    if len(group) > len(entries):
        return mismatch(group[len(entries)].seq, group[len(entries)].event, None)
    if len(entries) > len(group):
        return mismatch(group[-1].seq, None, entries[len(group)].event)
    return None


def mismatch(seq: int, recorded: Event | None, decided: Event | None) -> ReplayMismatch:
    """Return the difference of two events; None is an event that is missing."""
    strategy, symbol = subject_of(recorded if recorded is not None else decided)
    return ReplayMismatch(
        seq,
        "nothing more" if recorded is None else repr(recorded),
        "nothing" if decided is None else repr(decided),
        strategy,
        symbol,
    )


def subject_of(event: Event | None) -> tuple[str, str]:
    """Return the strategy and the symbol that an event is about, empty where it names none."""
    scope = getattr(event, "scope", "")
    return getattr(event, "strategy", scope), getattr(event, "symbol", "")
