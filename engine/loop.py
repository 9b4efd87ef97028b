"""The loop: await facts, decide, commit, publish. Nobody sees a state that is not in the log.

The outcome of a failed commit is unknown, so it is never retried: the error ends the engine, and the next start replays
the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.engine.ports.feed import ResumePoint
from papertape.engine.process_health import Latencies
from papertape.engine.reducer.reducer import decide, is_new
from papertape.engine.reducer.signals import newest_signals_ms
from papertape.engine.reducer.snapshot_codec import encode
from papertape.engine.strategy_registry import code_digest
from papertape.events.commands import Accepted
from papertape.events.errors import CommandRefused, EngineFault, SnapshotRefused
from papertape.events.failpoints import hit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from papertape.engine.ports.feed import Feed
    from papertape.engine.reducer.state import EngineState
    from papertape.events.bus import Bus
    from papertape.events.facts import Event, FeedFact
    from papertape.events.log import Entry, EventLog
    from papertape.events.snapshots import SnapshotStore

COMMIT_ENTRIES_SOFT_MAX = 2_048
SNAPSHOT_EVERY_EVENTS = 5_000


class LoopStatistics(Struct, frozen=True):
    """Counts since the loop started."""

    facts: int
    repeated_facts: int
    commits: int
    snapshots: int


class Loop:
    """Takes the facts of one engine, decides, and commits both to the log.

    `reducer_version` ties its snapshots to the code that made them; `snapshot_seq` is the seq of the newest one.
    """

    def __init__(
        self,
        state: EngineState,
        log: EventLog,
        bus: Bus,
        snapshots: SnapshotStore,
        reducer_version: str,
        warn: Callable[[str], None],
        snapshot_every_events: int = SNAPSHOT_EVERY_EVENTS,
        snapshot_seq: int = 0,
    ) -> None:
        assert snapshot_seq <= log.head.seq, f"a snapshot at seq {snapshot_seq} is ahead of the log"
        self.state, self.log, self.bus, self.snapshots = state, log, bus, snapshots
        self.reducer_version = reducer_version
        self._warn = warn
        self._stop, self._replaced = asyncio.Event(), asyncio.Event()
        self._next_feed: Feed | None = None
        self._snapshot_every = snapshot_every_events
        self._snapshot_seq = self.newest_snapshot_seq = snapshot_seq
        self._lock = asyncio.Lock()
        self.latencies = Latencies()
        self._is_ahead = False
        self._facts = self._repeated = self._commits = self._snapshots = 0

    @property
    def statistics(self) -> LoopStatistics:
        """The counts since the start."""
        return LoopStatistics(self._facts, self._repeated, self._commits, self._snapshots)

    def stop(self) -> None:
        """Ask the loop to end after the current commit. Asking twice is harmless."""
        self._stop.set()

    async def run(self, feed: Feed) -> None:
        """Take what the feed delivers until it ends or `stop` is called; `replace_feed` continues with another one."""
        current: Feed | None = feed
        while current is not None:
            self._replaced.clear()
            batches = current.facts(last_seen(self.state), self.state.anchor)
            while (batch := await self._next(batches)) is not None:
                await self.take(batch)
            if isinstance(batches, AsyncGenerator):
                await batches.aclose()
            current, self._next_feed = (None if self._stop.is_set() else self._next_feed), None

    def replace_feed(self, feed: Feed) -> None:
        """Continue with another feed after the current batch, from what the state knows by then."""
        self._next_feed = feed
        self._replaced.set()

    async def take(self, events: Sequence[Event]) -> None:
        """Decide on inputs, commit them with their consequences, then publish. Only one call runs at a time.

        Raise CommandRefused for a command that does not fit the state: the events before it are committed, those after
        it are not taken. After any other error the state may be ahead of the log, and every later call raises
        EngineFault.
        """
        await self.order(lambda _: events)

    async def order(self, make: Callable[[EngineState], Sequence[Event]]) -> Accepted:
        """Take the inputs that `make` derives from the current state; return the seqs of all events that followed.

        Raise what `make` raises, in which case nothing has happened, or like `take`.
        """
        async with self._lock:
            if self._is_ahead:
                raise EngineFault(
                    f"the state is ahead of the log after a failed commit; the log is whole up to seq {self._head_seq}"
                )
            events, first_seq = make(self.state), self._head_seq + 1
            self._is_ahead = True
            try:
                await self._take(events)
            except CommandRefused:
                self._is_ahead = False
                raise
            self._is_ahead = False
            return Accepted(first_seq, self._head_seq)

    @property
    def _head_seq(self) -> int:
        return self.log.head.seq

    async def _take(self, events: Sequence[Event]) -> None:
        """Decide and commit, one row of limited length at a time; then save a snapshot if one is due."""
        entries: list[Entry] = []
        head_seq = self._head_seq
        for event in events:
            self._facts += 1
            if not is_new(self.state, event):
                self._repeated += 1
                continue
            try:
                entries += decide(self.state, event, head_seq + len(entries) + 1)
            except CommandRefused:
                await self._commit(entries)
                raise
            if len(entries) >= COMMIT_ENTRIES_SOFT_MAX:
                head_seq = await self._commit(entries)
                entries = []
        await self._commit(entries)
        if self._head_seq - self._snapshot_seq >= self._snapshot_every:
            await self.snapshot()

    async def _commit(self, entries: list[Entry]) -> int:
        """Append one row, if there are entries, then publish; return the seq of the head."""
        if not entries:
            return self._head_seq
        before = self._head_seq
        with self.latencies.time_block():
            head = await self.log.append(before, entries)
        assert head.seq == before + len(entries), f"a gap: {len(entries)} events after seq {before} end at {head.seq}"
        self._commits += 1
        hit("before_publish")
        self.bus.publish(head.seq)
        return head.seq

    def adopt_code(self) -> None:
        """Tie later snapshots to the strategies as they are now, after one was loaded again."""
        self.reducer_version = code_digest(self.state.strategies.values())

    async def snapshot(self) -> None:
        """Save the state beside the log. Warn if it cannot be written: nothing is lost."""
        head, content = self.log.head, encode(self.state)
        self._snapshot_seq = head.seq
        try:
            await asyncio.to_thread(self.snapshots.save, head.seq, head.hash, self.reducer_version, content)
            self._snapshots += 1
            self.newest_snapshot_seq = head.seq
        except SnapshotRefused as refused:
            self._warn(f"no snapshot at seq {head.seq}: {refused}")

    async def _next(self, batches: AsyncIterator[list[FeedFact]]) -> list[FeedFact] | None:
        """Return the next batch; None at the end of the feed, after `stop`, and after `replace_feed`."""
        if self._stop.is_set() or self._replaced.is_set():
            return None
        batch = asyncio.ensure_future(anext(batches, None))
        ends = [asyncio.ensure_future(event.wait()) for event in (self._stop, self._replaced)]
        try:
            await asyncio.wait({batch, *ends}, return_when=asyncio.FIRST_COMPLETED)
            return batch.result() if batch.done() else None
        finally:
            for task in (batch, *ends):
                task.cancel()
            await asyncio.gather(batch, *ends, return_exceptions=True)


def last_seen(state: EngineState) -> dict[str, ResumePoint]:
    """Return the times of the newest facts about each symbol, from which a feed continues."""
    points: dict[str, ResumePoint] = {}
    for symbol, index in state.symbols.items():
        market = state.markets[index]
        in_position = any(runner.desks[index].position.side != 0 for runner in state.runners)
        times = market.open_time_ms, market.rate_time_ms, market.reading_time_ms
        signals_ms = newest_signals_ms(state.signals, symbol)
        points[symbol] = ResumePoint(*times, market.suspended != 0, in_position, signals_ms)
    return points
