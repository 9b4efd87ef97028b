"""All runners over a tape, with the global kill switch that couples them.

Runners share nothing but that switch, and it can only trip after a candle. So each runs a stretch of tape
alone; then the switch looks at the sums. Where it trips, the stretch is taken back and run again up to there.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct
from numba import njit

from engine.core.codes import CANDLE, GLOBAL_LOSS, WARM_UP
from engine.core.guard import cancel_entries, guard_total, trip_global
from engine.core.state import Decision, Guard
from engine.core.translate import event_of
from engine.research.compiled import make_known
from engine.research.records import Array, records_of, struct_of
from engine.research.runner import CompiledRunner
from events.facts import GLOBAL_SCOPE, Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.core.world import Runner, World
    from engine.research.tape import Tape

STRETCH_FACTS = 65_536


class Decided(Struct, frozen=True):
    """An event that was decided on the fact at index `fact`, by the runner at index `runner` (-1: the global switch)."""

    fact: int
    runner: int
    event: Event


class Outcome(Struct):
    """What a run over a tape brought: all decisions in log order, and the equity after every fact by runner."""

    decided: list[Decided]
    equities: list[Array]


def make_guard_loop(digest: str) -> Callable[..., Any]:
    """The loop that shows the global switch the totals of a stretch; it returns where it trips, or the end."""

    def watch(facts: Any, first: int, end: int, totals: Any, guards: Any, maxima: Any) -> tuple[int, str]:
        for f in range(first, end):
            if facts[f].kind == CANDLE and facts[f].timing != WARM_UP:
                if guard_total(guards[0], maxima, totals[f - first], facts[f].time_ms):
                    return f, digest
        return end, digest

    return watch


@cache
def compiled_guard(digest: str) -> Callable[..., Any]:
    """The guard loop, compiled."""
    make_known()
    return njit(cache=True)(make_guard_loop(digest))  # type: ignore[no-any-return]


def run_compiled(
    world: World, tape: Tape, digest: str, on_progress: Callable[[int], None] = lambda facts: None
) -> Outcome:
    """Run every runner of `world` over the tape. The world stands at the end of it afterwards."""
    run = _GuardedRun(world, tape, digest)
    at = 0
    while at < len(tape.facts):
        at = run.stretch(at, min(len(tape.facts), at + STRETCH_FACTS))
        on_progress(at)
    return run.finish()


class _GuardedRun:
    """The arrays of one run over a tape."""

    def __init__(self, world: World, tape: Tape, digest: str) -> None:
        self.world, self.tape = world, tape
        self.runners = [CompiledRunner(world, runner, digest) for runner in world.runners]
        self.watch = compiled_guard(digest)
        self.guard, self.maxima = records_of([world.guard]), np.array(world.maxima)
        self.equities = [np.empty(len(tape.facts)) for _ in self.runners]
        self.found: list[tuple[int, Array]] = []
        self.global_trips: list[Decided] = []

    def stretch(self, first: int, end: int) -> int:
        """Run facts `first .. end - 1`, or up to the one on which the global switch trips; returns the next fact."""
        kept = [runner.keep() for runner in self.runners]
        found = self._advance(first, end)
        totals = np.zeros(end - first)
        for equities in self.equities:
            totals += equities[first:end]
        tripped, _ = self.watch(self.tape.facts, first, end, totals, self.guard, self.maxima)
        if tripped == end:
            self.found += found
            return end
        for runner, state in zip(self.runners, kept, strict=True):
            runner.come_back(state)
        self.found += self._advance(first, tripped + 1)
        self._trip(tripped)
        return int(tripped) + 1

    def _advance(self, first: int, end: int) -> list[tuple[int, Array]]:
        """Every runner over a stretch; what each decided."""
        found: list[tuple[int, Array]] = []
        for index, runner in enumerate(self.runners):
            decided = runner.advance(self.tape.facts, first, end, self.equities[index][first:end])
            found += [(index, rows) for rows in decided]
        return found

    def _trip(self, fact: int) -> None:
        """The global switch trips after `fact`: every runner that goes on is stopped, its pending entries cancelled."""
        guard = struct_of(Guard, self.guard[0].tolist())
        at_ms = int(self.tape.facts[fact]["time_ms"])
        decision = Decision()
        trip_global(guard, at_ms, decision)
        self.guard[0]["tripped"] = GLOBAL_LOSS
        self.global_trips.append(Decided(fact, -1, event_of(decision, GLOBAL_SCOPE, "", ())))
        for index, compiled in enumerate(self.runners):
            if compiled.state["accounts"][0]["tripped"] == 0:
                self._stop(fact, index, compiled, at_ms)

    def _stop(self, fact: int, index: int, compiled: CompiledRunner, at_ms: int) -> None:
        """Stop one runner, with the functions that do it live."""
        compiled.write_back(self.world)
        runner = compiled.runner
        runner.account.tripped = GLOBAL_LOSS
        count = cancel_entries(at_ms, runner.account, runner.desks, runner.out, 0)
        for decision in runner.out[:count]:
            event = _event(self.world, runner, decision)
            self.global_trips.append(Decided(fact, index, event))
        compiled.state["accounts"][...] = records_of([runner.account])
        compiled.state["desks"][...] = records_of(runner.desks)

    def finish(self) -> Outcome:
        """Put the end state into the world, and all decisions into the order of the log."""
        for compiled in self.runners:
            compiled.write_back(self.world)
        self.world.guard = struct_of(Guard, self.guard[0].tolist())
        self.world.maxima = self.maxima.tolist()
        decided = [item for index, rows in self.found for item in self._events(index, rows)]
        decided.sort(key=lambda item: (item.fact, item.runner))
        return Outcome(_merge(decided, self.global_trips), self.equities)

    def _events(self, index: int, rows: Array) -> list[Decided]:
        """Rows of the kernel as events."""
        runner = self.world.runners[index]
        made = []
        for row in rows.tolist():
            decision = Decision(runner.strategy.reading(*row[0]), *row[1:])
            made.append(Decided(decision.fact, index, _event(self.world, runner, decision)))
        return made


def _event(world: World, runner: Runner, decision: Decision) -> Event:
    """A runner's decision as an event."""
    symbol = world.listed[decision.symbol].symbol
    return event_of(decision, runner.strategy.name, symbol, runner.strategy.exit_reasons)


def _merge(decided: list[Decided], trips: list[Decided]) -> list[Decided]:
    """Global trips and what they cancelled stand after all that the runners decided on the same fact."""
    return sorted([*decided, *trips], key=lambda item: item.fact) if trips else decided
