"""All runners over a tape, with the global kill switch that couples them.

Runners share nothing but that switch, and it can trip only after a candle. So each runner processes a stretch of tape
alone; then the switch checks the sums. If it trips, the stretch is rolled back and run again up to there.

For research, a run may continue after a trip: the kill switch is reset at the next UTC day, as by a human.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from papertape.engine.kernel.codes import GLOBAL_LOSS, KILL_SWITCH
from papertape.engine.kernel.decision import Decision
from papertape.engine.kernel.evolve import reset_account
from papertape.engine.kernel.kill_switch import cancel_entries, trip_global
from papertape.engine.kernel.state import FactColumns, GlobalKillSwitch
from papertape.engine.reducer.decision_events import event_of
from papertape.engine.reducer.reducer import decide
from papertape.events.facts import GLOBAL_SCOPE, Event, KillSwitchReset, KillSwitchTripped
from papertape.events.units import DAY_MS

if TYPE_CHECKING:
    from collections.abc import Callable, MutableSequence, Sequence

    from papertape.engine.reducer.state import EngineState, Runner
    from papertape.engine.research.tape import Tape

STRETCH_FACTS = 131_072
GLOBAL_RUNNER = -1


class DecidedEvent(Struct, frozen=True):
    """An event decided on the fact at index `fact`, by the runner at index `runner` (-1: the global switch).

    A KillSwitchReset follows that fact and its decisions; its `trip_seq` is known only in a log.
    """

    fact: int
    runner: int
    event: Event


class TapeRunResult(Struct):
    """The result of a run over a tape: all decisions in log order, and the equity after every fact by runner."""

    decided: list[DecidedEvent]
    equities: list[MutableSequence[float]]


class TapeRunner(Protocol):
    """One runner that can be advanced over a tape, and rolled back."""

    runner: Runner

    def advance(self, facts: Any, first: int, end: int, equities: Any) -> list[tuple[int, Event]]:
        """Run a stretch; return the events with the indices of their facts, and write `equities`."""

    def checkpoint(self) -> Any:
        """Return a copy of all mutable state."""

    def roll_back(self, checkpoint: Any) -> None:
        """Restore a copied state."""

    def tripped(self) -> bool:
        """Return whether its kill switch is tripped."""

    def load(self, world: EngineState) -> None:
        """Reload account and symbols from the runner's Structs, markets and contracts from the state."""

    def write_back(self, world: EngineState) -> None:
        """Write the state into the Structs."""


class TapeEngine(Protocol):
    """The way to run a tape: CPython over Structs, or compiled loops over arrays."""

    name: str
    tape: Tape
    facts: FactColumns
    watch: Callable[..., Any]
    guards: Any
    maxima: Any

    @property
    def runners(self) -> Sequence[TapeRunner]:
        """One for each of the state's runners."""

    def equities(self) -> Any:
        """Return room for the equity after every fact."""

    def part(self, equities: Any, first: int, end: int) -> Any:
        """Return a stretch of equities that writes through."""

    def totals(self, equities: list[Any], first: int, end: int) -> Any:
        """Return the sums over the runners, added up in their order."""

    def guard(self) -> GlobalKillSwitch:
        """Return the global switch."""

    def trip_guard(self, reason: int) -> None:
        """Trip the global switch."""

    def reset_guard(self) -> None:
        """Reset the global switch; its window restarts from the current total."""

    def write_back(self, world: EngineState) -> None:
        """Write the final state into the Structs."""


def run_tape(
    world: EngineState,
    engine: TapeEngine,
    on_progress: Callable[[int], None] = lambda _: None,
    *,
    reset_by: tuple[str, str] | None = None,
) -> TapeRunResult:
    """Run every runner of the state over the tape, and leave the state at its end.

    With `reset_by` (who resets, and why), tripped kill switches are reset at the next UTC day.
    """
    run, tape = _GuardedRun(world, engine), engine.tape
    changes = tape.changes(engine.facts)
    at, end, base_ms = 0, engine.facts.total if engine.runners else 0, world.base_ms
    stops = [*sorted(changes), end]
    while at < end:
        until = end if reset_by is None else _day_end(tape, engine.facts, at, base_ms)
        if at in changes:
            run.change(at, changes[at])
            at += 1
        else:
            at = run.stretch(at, min(until, stops[bisect_left(stops, at)], at + STRETCH_FACTS))
        if reset_by is not None and at == until < end:
            run.reset(at - 1, *reset_by)
        on_progress(at)
    engine.write_back(world)
    run.decided.sort(key=lambda item: item.fact)
    return TapeRunResult(run.decided, run.equities)


def _day_end(tape: Tape, facts: FactColumns, first: int, base_ms: int) -> int:
    """Return the index of the first fact that may be a candle of the UTC day after the fact at `first`."""
    day_ms = int(facts.time_ms[first]) - base_ms
    return tape.first_at(facts, day_ms - day_ms % DAY_MS + DAY_MS + base_ms, first)


class _GuardedRun:
    """One run over a tape."""

    def __init__(self, world: EngineState, engine: TapeEngine) -> None:
        self.world, self.engine = world, engine
        self.equities = [engine.equities() for _ in engine.runners]
        self.decided: list[DecidedEvent] = []

    def stretch(self, first: int, end: int) -> int:
        """Run facts `first .. end - 1`, or up to the one on which the global switch trips; return the next fact."""
        engine = self.engine
        checkpoints = [runner.checkpoint() for runner in engine.runners]
        decided = self._advance(first, end)
        totals = engine.totals(self.equities, first, end)
        tripped = engine.watch(engine.facts, first, end, totals, engine.guards, engine.maxima)
        if tripped == end:
            self.decided += decided
            return end
        for runner, checkpoint in zip(engine.runners, checkpoints, strict=True):
            runner.roll_back(checkpoint)
        self.decided += self._advance(first, tripped + 1)
        self._trip(int(tripped))
        return int(tripped) + 1

    def _advance(self, first: int, end: int) -> list[DecidedEvent]:
        """Run every runner over a stretch; return their decisions, runner by runner."""
        decided: list[DecidedEvent] = []
        for index, runner in enumerate(self.engine.runners):
            part = self.engine.part(self.equities[index], first, end)
            events = runner.advance(self.engine.facts, first, end, part)
            decided += [DecidedEvent(fact, index, event) for fact, event in events]
        return decided

    def _trip(self, fact: int) -> None:
        """Trip the global switch after `fact`: stop every runner that still runs, and cancel its pending entries."""
        decision = Decision()
        trip_global(self.engine.guard(), int(self.engine.facts.time_ms[fact]), decision)
        self.engine.trip_guard(GLOBAL_LOSS)
        self.decided.append(DecidedEvent(fact, GLOBAL_RUNNER, event_of(decision, GLOBAL_SCOPE, "", ())))
        for index, tape_runner in enumerate(self.engine.runners):
            if not tape_runner.tripped():
                self._stop(fact, index, tape_runner, decision.at_ms)

    def _stop(self, fact: int, index: int, tape_runner: TapeRunner, at_ms: int) -> None:
        """Stop one runner, with the functions that stop it live."""
        tape_runner.write_back(self.world)
        runner = tape_runner.runner
        runner.account.tripped = GLOBAL_LOSS
        count = cancel_entries(KILL_SWITCH, at_ms, runner.account, runner.desks, runner.out, 0)
        self.decided += [DecidedEvent(fact, index, self._event(runner, decision)) for decision in runner.out[:count]]
        tape_runner.load(self.world)

    def change(self, fact: int, event: Event) -> None:
        """Change a contract or its status as the live engine does, and take in what follows from it."""
        for tape_runner in self.engine.runners:
            tape_runner.write_back(self.world)
        places = {one.runner.strategy.name: index for index, one in enumerate(self.engine.runners)}
        for entry in decide(self.world, event, 0)[1:]:
            decided: Any = entry.event
            name = decided.scope if isinstance(decided, KillSwitchTripped) else decided.strategy
            self.decided.append(DecidedEvent(fact, places[name], decided))
        for tape_runner, equities in zip(self.engine.runners, self.equities, strict=True):
            tape_runner.load(self.world)
            equities[fact] = tape_runner.runner.account.equity_usdt

    def reset(self, fact: int, who: str, why: str) -> None:
        """Reset every tripped switch after `fact`, the last fact of a UTC day."""
        base_ms = self.world.base_ms
        at_ms = (int(self.engine.facts.time_ms[fact]) - base_ms) // DAY_MS * DAY_MS + DAY_MS
        if self.engine.guard().tripped:
            self.engine.reset_guard()
            self.decided.append(DecidedEvent(fact, GLOBAL_RUNNER, KillSwitchReset(at_ms, GLOBAL_SCOPE, 0, who, why)))
        for index, tape_runner in enumerate(self.engine.runners):
            if not tape_runner.tripped():
                continue
            tape_runner.write_back(self.world)
            account, name = tape_runner.runner.account, tape_runner.runner.strategy.name
            if account.tripped != GLOBAL_LOSS:
                self.decided.append(DecidedEvent(fact, index, KillSwitchReset(at_ms, name, 0, who, why)))
            reset_account(account)
            tape_runner.load(self.world)

    def _event(self, runner: Runner, decision: Decision) -> Event:
        symbol = self.world.listed[decision.symbol].symbol
        return event_of(decision, runner.strategy.name, symbol, runner.strategy.exit_reasons)
