"""The state as of any event, for readers of a log other than its engine.

It decides nothing: it folds recorded events from the nearest known state, and keeps checkpoints on the way, on disk if
it is given a place. So the first visit to a stretch of the log costs as much as folding it (about 10 s per million
events); afterwards every event is near a checkpoint, and a query takes a fraction of a second. `prefold` makes the
first visit ahead of any query.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from papertape.engine.inspect.checkpoints import StateCheckpoints
from papertape.engine.inspect.state_chunks import join_state, split_state
from papertape.engine.recovery import from_snapshot
from papertape.engine.reducer.reducer import fold
from papertape.engine.reducer.state import EngineState, new_state
from papertape.events.errors import LogBusy, SnapshotRefused, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from papertape.engine.kernel.strategy import Strategy
    from papertape.events.log import LogReader
    from papertape.events.log_thread import LogThread
    from papertape.events.snapshots import SnapshotStore

T = TypeVar("T")

STEP_EVENTS_MAX: Final = 2_048
"""Events folded in one turn of the thread, about 20 ms, before others get theirs."""
QUERIES_WAITING_MAX: Final = 64
REFUSALS_MAX: Final = 2
"""How often a query may start again because a stored state cannot be trusted: each walker may have one."""
PREFOLD_RESTS: Final = 3
"""After each step of `prefold` it rests this many times as long as the step took."""


class _Walker:
    """A state that moves forward through the log, from commit to commit, so that it never splits a group."""

    def __init__(self, strategies: Mapping[str, Strategy]) -> None:
        self._strategies = strategies
        self.turn = asyncio.Lock()
        self.state, self.seq = new_state(strategies), 0

    def move_to(self, state: EngineState, seq: int) -> None:
        """Continue from another state."""
        self.state, self.seq = state, seq

    def rewind(self) -> None:
        """Start over at the beginning."""
        self.move_to(new_state(self._strategies), 0)


class StateHistory:
    """The states of one log. One walker stays near the head, the other moves to wherever a query looks back."""

    def __init__(
        self,
        thread: LogThread,
        strategies: Mapping[str, Strategy],
        snapshots: SnapshotStore | None,
        checkpoints: StateCheckpoints | None = None,
    ) -> None:
        """Read the engine's `snapshots`, and never write to them."""
        self._thread, self._strategies, self._snapshots = thread, strategies, snapshots
        self.checkpoints = StateCheckpoints() if checkpoints is None else checkpoints
        self._front, self._back = _Walker(strategies), _Walker(strategies)
        self._is_positioned = False
        self._queries = 0
        self._prefolded_seq = 0

    def known_until(self, seq: int) -> int:
        """Return the last known state at or before an event; a query has to fold what lies between."""
        reached = (walker.seq for walker in (self._front, self._back) if walker.seq <= seq)
        return max(self.checkpoints.last_before(seq), *reached, 0)

    async def query(self, seq: int, ask: Callable[[EngineState], T]) -> T:
        """Return the answer of `ask`, which runs in the thread, about the state after an event. It must change nothing.

        Raise UsageError for a seq outside the log, LogBusy for more than QUERIES_WAITING_MAX queries at once,
        LogDamaged, ConfigError if one of the log's strategies is missing, and whatever `ask` raises.
        """
        if self._queries >= QUERIES_WAITING_MAX:
            raise LogBusy(f"{QUERIES_WAITING_MAX} moments are being queried already")
        self._queries += 1
        try:
            await self._thread.run(partial(self._position, seq))
            return await self._query(seq, ask)
        finally:
            self._queries -= 1

    async def _query(self, seq: int, ask: Callable[[EngineState], T]) -> T:
        refusals = 0
        while True:
            walker = self._front if seq >= self._front.seq else self._back
            async with walker.turn:
                if walker is self._front and seq < walker.seq:
                    continue  # It moved on while this query waited for its turn.
                try:
                    await self._thread.run(partial(self._approach, walker, seq))
                    while not await self._thread.run(partial(self._step, walker, seq)):
                        pass
                    return await self._thread.run(partial(self._answer, walker, seq, ask))
                except SnapshotRefused:  # A state needs a part that is damaged on disk: fold from an earlier one.
                    walker.rewind()
                    refusals += 1
                    if refusals > REFUSALS_MAX:
                        raise

    async def copy(self, seq: int) -> EngineState:
        """Return the state after an event, for whoever folds on from there; that of 0 is empty. Raise like `query`."""
        return await self.query(seq, self._copy) if seq else new_state(self._strategies)

    async def prefold(self, seq: int) -> int:
        """Fold the log up to an event for its checkpoints, resting between the steps; return the seq that was reached.

        A query that arrives meanwhile waits for one step. Raise LogBusy if the log was closed, and LogDamaged and
        ConfigError as `query` does.
        """
        done = self._prefolded_seq >= seq
        while not done:
            started_s = time.monotonic()
            async with self._back.turn:
                with suppress(SnapshotRefused):
                    done = await self._thread.run(partial(self._prefold_step, seq))
            await asyncio.sleep(PREFOLD_RESTS * (time.monotonic() - started_s))
        await asyncio.to_thread(self.checkpoints.store.remove_others)
        return self._prefolded_seq

    # ------------------------------------------------------------ in the thread

    def _copy(self, state: EngineState) -> EngineState:
        return join_state([partial(bytes, chunk) for chunk in split_state(state)], self._strategies)

    def _prefold_step(self, seq: int, reader: LogReader) -> bool:
        """Fold one step further; return whether the event is reached."""
        self._prefolded_seq = self.checkpoints.contiguous_until(self._prefolded_seq)  # Queries may have been here.
        self._approach(self._back, self._prefolded_seq, reader)
        done = self._step(self._back, seq, reader)
        self._prefolded_seq = max(self._prefolded_seq, self._back.seq)
        return done

    def _position(self, seq: int, reader: LogReader) -> None:
        """Check that the log holds an event; the first time, move the front walker as close to the head as possible."""
        head_seq = reader.head().seq
        if not 1 <= seq <= head_seq:
            held = f"the events 1 to {head_seq:,}" if head_seq else "nothing yet"
            raise UsageError(f"there is no event {seq:,}: the log holds {held}")
        if not self._is_positioned:
            self._is_positioned = True
            with suppress(SnapshotRefused):
                self.checkpoints.store.drop_foreign(reader.hash_at)
            self._front.move_to(*from_snapshot(reader, self._snapshots, self._strategies, head_seq))

    def _approach(self, walker: _Walker, seq: int, reader: LogReader) -> None:
        """Move a walker to the nearest known state at or before an event."""
        if walker.seq > seq:
            walker.rewind()
        until_seq = seq
        while (checkpoint_seq := self.checkpoints.last_before(until_seq)) > walker.seq:
            try:
                walker.move_to(self.checkpoints.state(checkpoint_seq, self._strategies), checkpoint_seq)
            except SnapshotRefused:
                until_seq = checkpoint_seq - 1
        if self._snapshots is not None and seq - walker.seq > 2 * self.checkpoints.distance_events:
            state, snapshot_seq = from_snapshot(reader, self._snapshots, self._strategies, seq)
            if snapshot_seq > walker.seq:
                walker.move_to(state, snapshot_seq)

    def _step(self, walker: _Walker, seq: int, reader: LogReader) -> bool:
        """Fold whole commits for one turn; return whether the last one before the event is reached."""
        first_seq, is_whole = walker.seq, False
        try:
            for commit in reader.commits(walker.seq):
                if commit.last_seq > seq:
                    break
                fold(walker.state, commit.recorded())
                walker.seq = commit.last_seq
                self.checkpoints.offer(walker.seq, walker.state, reader.hash_at)
                if walker.seq - first_seq >= STEP_EVENTS_MAX:
                    is_whole = True
                    return walker.seq == seq
            is_whole = True
        finally:
            if not is_whole:
                walker.rewind()  # A commit that was folded in part is no valid state.
        return True

    def _answer(self, walker: _Walker, seq: int, ask: Callable[[EngineState], T], reader: LogReader) -> T:
        """Ask about the walker's state. An event inside a commit splits it, so the walker starts over afterwards."""
        if walker.seq == seq:
            return ask(walker.state)
        try:
            fold(walker.state, reader.read(walker.seq, seq - walker.seq))
            return ask(walker.state)
        finally:
            walker.rewind()
