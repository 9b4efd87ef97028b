"""A tape run by CPython: the same loop, uncompiled, over Structs. It needs neither numpy nor numba."""

from __future__ import annotations

import copy
from array import array
from typing import TYPE_CHECKING, Any

from papertape.engine.kernel.answers import Answer
from papertape.engine.kernel.codes import STRATEGY_FAILED
from papertape.engine.kernel.decision import NotedDecision
from papertape.engine.kernel.kill_switch import cancel_entries, reset_global
from papertape.engine.kernel.references import make_show
from papertape.engine.kernel.signals import slots_of
from papertape.engine.kernel.state import Fact, GlobalKillSwitch
from papertape.engine.kernel.tape_loop import make_advance, make_run, watch_totals
from papertape.engine.kernel.view import MarketData, Reference, SeriesView
from papertape.engine.reducer.decision_events import event_of
from papertape.engine.reducer.parking import failure_event
from papertape.engine.reducer.state import decisions_max
from papertape.engine.research.copying import deep_copy

if TYPE_CHECKING:
    from collections.abc import Callable, MutableSequence, Sequence

    from papertape.engine.kernel.state import FactColumns
    from papertape.engine.reducer.state import EngineState, Runner
    from papertape.engine.research.tape import Tape
    from papertape.events.facts import Event

OUT_ROWS = 256


def on_ready_data(ready: list[MarketData], run: Callable[..., Any]) -> Callable[..., Any]:
    """Bind `run(data, ...)` as `with_data` does, to data that exist already: in CPython, making them costs as much."""

    def run_on(
        series: Any,  # noqa: ARG001
        bars: Any,  # noqa: ARG001
        s: int,
        others: Any,  # noqa: ARG001
        market: Any,  # noqa: ARG001
        rings: Any,  # noqa: ARG001
        *rest: Any,
    ) -> Any:
        return run(ready[s], *rest)

    return run_on


class PlainRunner:
    """One runner over a tape. It has its own copy of markets and series, as runners share nothing."""

    def __init__(self, world: EngineState, runner: Runner, signal_names: Sequence[str]) -> None:
        self.runner = runner
        self.data: list[MarketData] = []
        self.slots = slots_of(runner.strategy.signals, signal_names)
        series, references = len(runner.series), len(runner.references)
        run = on_ready_data(self.data, make_run(runner.update_strategy, runner.decide))
        show = make_show(series, references, runner.update_by_reference)
        self.loop = make_advance(run, show, references > 0)
        self.room = decisions_max(len(world.symbols))
        self.notes = [runner.strategy.reading() for _ in range(self.room + OUT_ROWS)]
        self.out = [NotedDecision(reading=reading) for reading in self.notes]
        self.scratch = [Fact()]
        self.answer = [Answer(reading=runner.strategy.reading())]
        self.world, self.symbols = world, list(world.symbols)
        self.moving = deep_copy(self._moving_of(world, runner))
        self.before = self.checkpoint()
        self.failed_on = Fact()
        runner.guard.on_failure = self._note_fact

    def _moving_of(self, world: EngineState, runner: Runner) -> tuple[Any, ...]:
        """Return everything that the loop changes."""
        series, bars = [one.series for one in runner.series], [one.bars for one in runner.series]
        return (
            world.markets,
            series,
            bars,
            world.settlements,
            world.readings,
            runner.signals,
            runner.desks,
            runner.states,
            [runner.account],
        )

    def advance(
        self, facts: FactColumns, first: int, end: int, equities: MutableSequence[float]
    ) -> list[tuple[int, Event]]:
        """Run facts `first .. end - 1`; return the events with the indices of their facts, and write `equities`.

        If a hook fails, the stretch is run again up to that fact, and the strategy is parked there, as it is live.
        """
        guard = self.runner.guard
        known = guard.failure
        events = self._run(facts, first, end, equities)
        if guard.failure is known:
            return events
        failed = self._index_of(facts, first, end)
        self.roll_back(self.before)
        events = self._run(facts, first, failed + 1, equities)
        if guard.failure is not None:
            events += [(failed, event) for event in self._park()]
        return events + self._run(facts, failed + 1, end, equities[failed + 1 - first :])

    def _note_fact(self) -> None:
        """Remember the fact on which a hook fails."""
        self.failed_on = copy.copy(self.scratch[0])

    def _index_of(self, facts: FactColumns, first: int, end: int) -> int:
        """Return the index of the fact on which a hook failed."""
        fact = self.failed_on
        own = (fact.kind, fact.symbol, fact.time_ms)
        return next(f for f in range(first, end) if (facts.kind[f], facts.symbol[f], facts.time_ms[f]) == own)

    def _park(self) -> list[Event]:
        """Park the strategy after a failure, with the functions that park it live; return what is recorded."""
        runner, fact = self.runner, self.failed_on
        *_, desks, states, accounts = self.moving
        event = failure_event(self.world, runner, fact)
        assert event is not None, "a strategy is parked only after a hook has failed"
        count = cancel_entries(STRATEGY_FAILED, fact.time_ms, accounts[0], desks, self.out, 0)
        states[:] = [runner.strategy.state() for _ in states]
        runner.failure = event
        return [event, *(self._event(decision) for decision in self.out[:count])]

    def _run(
        self, facts: FactColumns, first: int, end: int, equities: MutableSequence[float]
    ) -> list[tuple[int, Event]]:
        """Run facts `first .. end - 1`, whatever the hooks do."""
        events: list[tuple[int, Event]] = []
        self.data[:] = self._market_data()
        markets, series, bars, settlements, readings, signals, desks, states, accounts = self.moving
        at = first
        while at < end:
            part = array("d", bytes(8 * (end - at)))
            following, count = self.loop(
                facts,
                self.scratch,
                at,
                end,
                self.room,
                markets,
                series,
                bars,
                self.runner.references,
                settlements,
                readings,
                signals,
                self.slots,
                self.runner.active,
                desks,
                states,
                self.runner.params,
                self.runner.needs,
                accounts,
                [self.runner.rules],
                self.world.contracts,
                self.world.tiers,
                self.answer,
                self.out,
                self.notes,
                part,
            )
            equities[at - first : following - first] = part[: following - at]
            events += [(decision.fact, self._event(decision)) for decision in self.out[:count]]
            at = following
        return events

    def _market_data(self) -> list[MarketData]:
        """Return what was observed of every symbol."""
        markets, series, bars, settlements, readings, signals, *_ = self.moving
        views = [
            tuple(map(SeriesView, *parts))
            for parts in zip(zip(*series, strict=True), zip(*bars, strict=True), strict=True)
        ]
        others = tuple(Reference(r, markets[r], views[r]) for r in self.runner.references)
        return [MarketData(*own, others) for own in zip(markets, views, settlements, readings, signals, strict=True)]

    def _event(self, decision: NotedDecision) -> Event:
        strategy = self.runner.strategy
        return event_of(decision, strategy.name, self.symbols[decision.symbol], strategy.exit_reasons)

    def checkpoint(self) -> tuple[Any, ...]:
        """Return a copy of all mutable state."""
        guard = self.runner.guard
        self.before = (deep_copy(self.moving), guard.muted, guard.failure, self.runner.failure)
        return self.before

    def roll_back(self, checkpoint: tuple[Any, ...]) -> None:
        """Restore a copied state."""
        moving, self.runner.guard.muted, self.runner.guard.failure, self.runner.failure = checkpoint
        self.moving = deep_copy(moving)

    def tripped(self) -> bool:
        """Return whether its kill switch is tripped."""
        return bool(self.moving[-1][0].tripped != 0)

    def load(self, world: EngineState) -> None:
        """Reload account and symbols from the runner's Structs, markets from the state; contracts are the state's."""
        _, *rings, _, states, _ = self.moving
        accounts = [deep_copy(self.runner.account)]
        self.moving = (deep_copy(world.markets), *rings, deep_copy(self.runner.desks), states, accounts)

    def write_back(self, world: EngineState) -> None:
        """Write the state into the Structs."""
        runner = self.runner
        markets, series, bars, settlements, readings, signals, desks, states, accounts = deep_copy(self.moving)
        world.markets[:], world.settlements[:], world.readings[:] = markets, settlements, readings
        for one, own_series, own_bars in zip(runner.series, series, bars, strict=True):
            one.replace(own_series, own_bars)
        runner.signals[:] = signals
        runner.desks[:], runner.states[:], runner.account = desks, states, accounts[0]


class PlainEngine:
    """An engine with lists of Structs and loops run by CPython."""

    name = "python"

    def __init__(self, world: EngineState, tape: Tape) -> None:
        self.tape, self.facts = tape, tape.columns()
        self.watch = watch_totals
        self.runners = [PlainRunner(world, runner, tape.signal_names) for runner in world.runners]
        self.guards = [copy.copy(world.guard)]
        self.maxima = list(world.maxima)

    def equities(self) -> array[float]:
        """Return room for the equity after every fact."""
        return array("d", bytes(8 * self.facts.total))

    def part(self, equities: array[float], first: int, end: int) -> memoryview:
        """Return a stretch of equities that writes through."""
        return memoryview(equities)[first:end]

    def totals(self, equities: list[array[float]], first: int, end: int) -> list[float]:
        """Return the sums over the runners, added up in their order."""
        totals = [0.0] * (end - first)
        for one in equities:
            totals = [total + value for total, value in zip(totals, one[first:end], strict=True)]
        return totals

    def guard(self) -> GlobalKillSwitch:
        """Return the global switch."""
        return self.guards[0]

    def trip_guard(self, reason: int) -> None:
        """Trip the global switch."""
        self.guards[0].tripped = reason

    def reset_guard(self) -> None:
        """Reset the global switch."""
        reset_global(self.guards[0], self.maxima)

    def write_back(self, world: EngineState) -> None:
        """Write the final state into the Structs."""
        for runner in self.runners:
            runner.write_back(world)
        world.guard, world.maxima = copy.copy(self.guards[0]), list(self.maxima)
