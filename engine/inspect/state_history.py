"""The world as of any event, for whoever looks at a log without being its engine.

It decides nothing: recorded facts are folded from the nearest place that is known, and places are kept on the way.
So the first visit to a stretch of the log costs what folding it costs (about 10 s a million events); afterwards no
event is far from a place, and a look takes a fraction of a second. `lay` makes the first visit before anybody asks.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from papertape.engine.inspect.checkpoints import StateCheckpoints
from papertape.engine.recovery import from_snapshot
from papertape.engine.reducer.reducer import fold
from papertape.engine.reducer.state import EngineState, new_state
from papertape.events.errors import LogBusy, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from papertape.engine.kernel.strategy import Strategy
    from papertape.events.log import LogReader
    from papertape.events.log_thread import LogThread
    from papertape.events.snapshots import SnapshotStore

T = TypeVar("T")

STEP_EVENTS_MAX: Final = 2_048
"""So many are folded in a turn of the thread, about 20 ms, before others have theirs."""
LOOKS_WAITING_MAX: Final = 64
LAYING_RESTS: Final = 3
"""Between two steps of laying it rests so many times as long as the step took."""


class _Walker:
    """A world on its way through the log. It only goes on from the end of a commit: no group is torn there."""

    def __init__(self, strategies: Mapping[str, Strategy]) -> None:
        self._strategies = strategies
        self.turn = asyncio.Lock()
        self.world, self.seq = new_state(strategies), 0

    def move_to(self, world: EngineState, seq: int) -> None:
        """Go on from another place."""
        self.world, self.seq = world, seq

    def rewind(self) -> None:
        """Go back to the beginning."""
        self.move_to(new_state(self._strategies), 0)


class StateHistory:
    """The worlds of one log. One walker keeps near the head, one goes to wherever somebody looks back."""

    def __init__(
        self,
        thread: LogThread,
        strategies: Mapping[str, Strategy],
        snapshots: SnapshotStore | None,
        places: StateCheckpoints | None = None,
    ) -> None:
        """`snapshots` are the engine's; they are only looked at."""
        self._thread, self._strategies, self._snapshots = thread, strategies, snapshots
        self.places = StateCheckpoints() if places is None else places
        self._front, self._back = _Walker(strategies), _Walker(strategies)
        self._begun = False
        self._looking = 0
        self._laid_seq = 0

    def known_until(self, seq: int) -> int:
        """Up to where the way to an event is known: what lies between has to be folded by a look."""
        walked = (walker.seq for walker in (self._front, self._back) if walker.seq <= seq)
        return max(self.places.last_before(seq), *walked, 0)

    async def query(self, seq: int, ask: Callable[[EngineState], T]) -> T:
        """What `ask` says of the world after an event; it runs in the thread, and must change nothing.

        Raises UsageError for a seq that the log does not hold, LogBusy when more than LOOKS_WAITING_MAX ask at once,
        LogDamaged where the log does not hold, ConfigError where a strategy of it is not there, and what `ask` raises.
        """
        if self._looking >= LOOKS_WAITING_MAX:
            raise LogBusy(f"{LOOKS_WAITING_MAX} moments are looked at already")
        self._looking += 1
        try:
            await self._thread.run(partial(self._begin, seq))
            return await self._query(seq, ask)
        finally:
            self._looking -= 1

    async def _query(self, seq: int, ask: Callable[[EngineState], T]) -> T:
        while True:
            walker = self._front if seq >= self._front.seq else self._back
            async with walker.turn:
                if walker is self._front and seq < walker.seq:
                    continue  # It went on while its turn was waited for.
                await self._thread.run(partial(self._approach, walker, seq))
                while not await self._thread.run(partial(self._step, walker, seq)):
                    pass
                return await self._thread.run(partial(self._answer, walker, seq, ask))

    async def prefold(self, seq: int) -> int:
        """Fold the log up to an event, resting between the steps, for the places; where the next ones go on from.

        A look that comes meanwhile waits for one step. Raises LogBusy when the log was let go of, LogDamaged and
        ConfigError as `look` does.
        """
        there = self._laid_seq >= seq
        while not there:
            begun_s = time.monotonic()
            async with self._back.turn:
                there = await self._thread.run(partial(self._prefold_step, seq))
            await asyncio.sleep(LAYING_RESTS * (time.monotonic() - begun_s))
        return self._laid_seq

    # ------------------------------------------------------------ in the thread

    def _prefold_step(self, seq: int, reader: LogReader) -> bool:
        """Fold one step beyond what is laid; whether that is all there is."""
        self._laid_seq = self.places.contiguous_until(self._laid_seq)  # Who looked was here before.
        self._approach(self._back, self._laid_seq, reader)
        there = self._step(self._back, seq, reader)
        self._laid_seq = max(self._laid_seq, self._back.seq)
        return there

    def _begin(self, seq: int, reader: LogReader) -> None:
        """Check that the log holds an event; the first time, let the front stand as near to the head as it can."""
        head_seq = reader.head().seq
        if not 1 <= seq <= head_seq:
            held = f"the events 1 to {head_seq:,}" if head_seq else "nothing yet"
            raise UsageError(f"there is no event {seq:,}: the log holds {held}")
        if not self._begun:
            self._begun = True
            self._front.move_to(*from_snapshot(reader, self._snapshots, self._strategies, head_seq))

    def _approach(self, walker: _Walker, seq: int, reader: LogReader) -> None:
        """Let a walker stand at the nearest known place at or before an event."""
        if walker.seq > seq:
            walker.rewind()
        place_seq = self.places.last_before(seq)
        if place_seq > walker.seq:
            walker.move_to(self.places.world(place_seq, self._strategies), place_seq)
        if self._snapshots is not None and seq - walker.seq > 2 * self.places.distance_events:
            world, snapshot_seq = from_snapshot(reader, self._snapshots, self._strategies, seq)
            if snapshot_seq > walker.seq:
                walker.move_to(world, snapshot_seq)

    def _step(self, walker: _Walker, seq: int, reader: LogReader) -> bool:
        """Fold whole commits for a turn; whether the last one before the event is reached."""
        begun_seq, whole = walker.seq, False
        try:
            for commit in reader.commits(walker.seq):
                if commit.last_seq > seq:
                    break
                fold(walker.world, commit.recorded())
                walker.seq = commit.last_seq
                self.places.offer(walker.seq, walker.world)
                if walker.seq - begun_seq >= STEP_EVENTS_MAX:
                    whole = True
                    return walker.seq == seq
            whole = True
        finally:
            if not whole:
                walker.rewind()  # What was folded in part is no state that ever was.
        return True

    def _answer(self, walker: _Walker, seq: int, ask: Callable[[EngineState], T], reader: LogReader) -> T:
        """Ask the walker's world. Where the event stands inside a commit it goes into that, and no further."""
        if walker.seq == seq:
            return ask(walker.world)
        try:
            fold(walker.world, reader.read(walker.seq, seq - walker.seq))
            return ask(walker.world)
        finally:
            walker.rewind()
