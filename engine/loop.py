"""The loop: await facts, decide, commit, publish. Nobody sees a state that is not in the log.

A commit that failed is unknown, so it is never tried again: the error ends the engine, and the next start
replays what the log holds.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.engine.ports.feed import ResumePoint
from papertape.engine.process_health import Latencies
from papertape.engine.reducer.reducer import decide, is_new
from papertape.engine.reducer.snapshot_codec import encode
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
    """What the loop did since it started."""

    facts: int
    repeated_facts: int
    commits: int
    snapshots: int


class Loop:
    """One engine's way from facts to the log.

    `reducer_version` ties its snapshots to the code that made them; `snapshot_seq` is where the newest one stands.
    """

    def __init__(
        self,
        world: EngineState,
        log: EventLog,
        bus: Bus,
        snapshots: SnapshotStore,
        reducer_version: str,
        warn: Callable[[str], None],
        snapshot_every_events: int = SNAPSHOT_EVERY_EVENTS,
        snapshot_seq: int = 0,
    ) -> None:
        self.world, self.log, self.bus, self.snapshots = world, log, bus, snapshots
        self.reducer_version = reducer_version
        self._warn = warn
        self._stop = asyncio.Event()
        self._snapshot_every = snapshot_every_events
        self._snapshot_seq = self.newest_snapshot_seq = snapshot_seq
        self._one_take = asyncio.Lock()
        self.latencies = Latencies()
        self._ahead = False
        self._facts = self._repeated = self._commits = self._snapshots = 0

    @property
    def statistics(self) -> LoopStatistics:
        """What was done since the start."""
        return LoopStatistics(self._facts, self._repeated, self._commits, self._snapshots)

    def stop(self) -> None:
        """Ask the loop to end behind the commit it is in. Asking twice is harmless."""
        self._stop.set()

    async def run(self, feed: Feed) -> None:
        """Take what the feed delivers until it ends or `stop` is called."""
        batches = feed.facts(last_seen(self.world), self.world.anchor)
        while (batch := await self._next(batches)) is not None:
            await self.take(batch)

    async def take(self, events: Sequence[Event]) -> None:
        """Decide on inputs, commit them with their consequences, then tell the bus. Takes wait for each other.

        Raises CommandRefused for a command that does not fit; what stands before it in `events` is committed,
        what stands behind it is not taken. After any other error the state may be ahead of the log: EngineFault
        for whatever comes then.
        """
        await self.order(lambda _: events)

    async def order(self, make: Callable[[EngineState], Sequence[Event]]) -> Accepted:
        """Take the inputs that `make` finds right for the state as it is; where they and what followed stand.

        Raises what `make` raises, and then nothing has happened; else like `take`.
        """
        async with self._one_take:
            if self._ahead:
                raise EngineFault(
                    f"an input was taken that is not in the log; the log is whole up to seq {self.log.head.seq}"
                )
            events, first_seq = make(self.world), self.log.head.seq + 1
            self._ahead = True
            try:
                await self._take(events)
            except CommandRefused:
                self._ahead = False
                raise
            self._ahead = False
            return Accepted(first_seq, self.log.head.seq)

    async def _take(self, events: Sequence[Event]) -> None:
        """Decide and commit, a row of limited length at a time; then a snapshot when one is due."""
        entries: list[Entry] = []
        head = self.log.head.seq
        for event in events:
            self._facts += 1
            if not is_new(self.world, event):
                self._repeated += 1
                continue
            try:
                entries += decide(self.world, event, head + len(entries) + 1)
            except CommandRefused:
                await self._commit(entries)
                raise
            if len(entries) >= COMMIT_ENTRIES_SOFT_MAX:
                head = await self._commit(entries)
                entries = []
        await self._commit(entries)
        if self.log.head.seq - self._snapshot_seq >= self._snapshot_every:
            await self.snapshot()

    async def _commit(self, entries: list[Entry]) -> int:
        """One row; only behind it the bus moves. Nothing to commit is no row."""
        if not entries:
            return self.log.head.seq
        with self.latencies.time_block():
            head = await self.log.append(self.log.head.seq, entries)
        self._commits += 1
        hit("before_publish")
        self.bus.publish(head.seq)
        return head.seq

    async def snapshot(self) -> None:
        """Save the state beside the log. One that cannot be written is a warning: nothing is lost by it."""
        head, state = self.log.head, encode(self.world)
        self._snapshot_seq = head.seq
        try:
            await asyncio.to_thread(self.snapshots.save, head.seq, head.hash, self.reducer_version, state)
            self._snapshots += 1
            self.newest_snapshot_seq = head.seq
        except SnapshotRefused as refused:
            self._warn(f"no snapshot at seq {head.seq}: {refused}")

    async def _next(self, batches: AsyncIterator[list[FeedFact]]) -> list[FeedFact] | None:
        """The next batch; None at the end of the feed, and when the loop was asked to stop."""
        if self._stop.is_set():
            return None
        coming = asyncio.ensure_future(anext(batches, None))
        stopping = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({coming, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return coming.result() if coming.done() else None
        finally:
            for task in (coming, stopping):
                task.cancel()
            await asyncio.gather(coming, stopping, return_exceptions=True)


def last_seen(world: EngineState) -> dict[str, ResumePoint]:
    """The newest facts the world holds of each symbol, for a feed to go on from."""
    found: dict[str, ResumePoint] = {}
    for symbol, index in world.symbols.items():
        market = world.markets[index]
        held = any(runner.desks[index].position.side != 0 for runner in world.runners)
        times = market.open_time_ms, market.rate_time_ms, market.reading_time_ms
        found[symbol] = ResumePoint(*times, market.suspended != 0, held)
    return found
