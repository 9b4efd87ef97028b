"""Decide again on the recorded inputs of a log, without stopping at a difference.

The inputs are taken as they were recorded: market facts with their timing, signals, commands, configurations. The
decisions are made anew, from the state that earlier new decisions led to. `verify` stops at the first difference; this
goes on, so that two versions or two configurations can be compared to the end.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from papertape.engine.command_queue import manual_trip
from papertape.engine.kernel.sizing import count_positions
from papertape.engine.reducer.decision_events import event_of
from papertape.engine.reducer.inputs import active_trip_seq
from papertape.engine.reducer.reducer import apply, decide, decide_for_runner, fact_of, is_new, update_strategy
from papertape.engine.reducer.state import market_data
from papertape.events.errors import CommandRefused
from papertape.events.facts import (
    CONFIGURATION,
    Event,
    KillSwitchReset,
    KillSwitchTripped,
    MarketFact,
    RunnerConfigured,
    RunnerPaused,
    RunnerResumed,
    StrategyFailed,
)
from papertape.events.log import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from papertape.engine.reducer.state import EngineState, Runner
    from papertape.events.log import Recorded

    Reconfigure = Callable[[EngineState, Event], list[Event]]

BRANCH_FEED = "what-if branch"
"""The feed that a branch names at its end, so that no engine continues it."""
REPEATED = "it repeats what is known"


class Redecided(Struct, frozen=True):
    """What an input led to: `entries` begins with the input itself, at `first_seq`.

    `refused` is why the input does not fit the state, empty if it does; then there are no entries.
    """

    first_seq: int
    entries: list[Entry]
    refused: str = ""


class Redecision:
    """A state on its way through the inputs of a log. `seq` is that of the last event, as this state counts them.

    `reconfigure` returns what takes the place of a recorded configuration; by default that stays as it is. `unlike`
    names the strategies that do not run as recorded: their hooks are called even where the recorded ones failed.
    """

    def __init__(self, state: EngineState, seq: int = 0, reconfigure: Reconfigure = lambda _, event: [event]) -> None:
        self.state, self.seq = state, seq
        self.unlike: set[str] = set()
        self._reconfigure = reconfigure

    def take(self, group: Sequence[Recorded]) -> Redecided:
        """Decide on a recorded input; the recorded consequences only tell which hooks failed or cannot be called."""
        known = [
            item
            for item in group[1:]
            if not (isinstance(item.event, StrategyFailed) and item.event.strategy in self.unlike)
        ]
        return self.take_inputs(lambda: self._inputs(group[0].event), known)

    def take_inputs(self, make: Callable[[], Sequence[Event]], known: Sequence[Recorded] = ()) -> Redecided:
        """Decide on the inputs that `make` derives from the state, in one commit."""
        first_seq, entries = self.seq + 1, list[Entry]()
        try:
            events = make()
            for event in events:
                if is_new(self.state, event):
                    entries += decide(self.state, event, first_seq + len(entries), known)
        except CommandRefused as refused:
            return Redecided(first_seq, [], str(refused))
        self.seq += len(entries)
        return Redecided(first_seq, entries, REPEATED if events and not entries else "")

    def change_configuration(self, at_ms: int) -> list[Event]:
        """Return the events that put the other configuration into force for the runners that exist by now."""
        changes: list[Event] = []
        for runner in self.state.runners:
            configured = replace(runner.configured, at_ms=at_ms)
            changes += [one for one in self._reconfigure(self.state, configured) if one not in (configured, *changes)]
        return changes

    def _inputs(self, event: Event) -> list[Event]:
        """Return a recorded input as it fits this state: a reset names this state's trip, a trip its equity."""
        match event:
            case RunnerConfigured():
                return self._reconfigure(self.state, event)
            case RunnerPaused(who=who) | RunnerResumed(who=who) if who == CONFIGURATION:
                return self._reconfigure(self.state, event)
            case KillSwitchReset():
                return [replace(event, trip_seq=active_trip_seq(self.state, event.scope))]
            case KillSwitchTripped():
                return [manual_trip(self.state, event.scope, event.at_ms, event.who, event.why)]
            case _:
                return [event]

    def decide_from(self, held: Runner, event: MarketFact, *, as_held: bool = False) -> list[Event]:
        """Return what a strategy would decide on the fact taken last, from the account and positions of `held`.

        `held` belongs to a state that has seen everything before the fact; with `as_held` its settings apply too. No
        state is changed.
        """
        fact, state = fact_of(self.state, event), self.state
        own = state.runner(held.strategy.name)
        desks, account = list(held.desks), deepcopy(held.account)
        desks[fact.symbol] = deepcopy(desks[fact.symbol])
        runner = replace(held if as_held else own, series=own.series, desks=desks, account=account)
        account.free_slots = runner.rules.positions_max - count_positions(desks)
        before = runner.guard.muted, runner.guard.failure
        if as_held:
            runner.states = deepcopy(held.states)
            data = update_strategy(state, runner, fact)
        else:
            data = market_data(state, own, fact.symbol)
        count = decide_for_runner(state, runner, fact, data)
        runner.guard.muted, runner.guard.failure = before
        names = list(state.symbols)
        return [event_of(one, own.strategy.name, names[one.symbol], own.exit_reasons) for one in runner.out[:count]]


def follow(state: EngineState, group: Sequence[Recorded]) -> None:
    """Apply an input and what another version decided on it; a command that does not fit the state is left out."""
    head = group[0]
    try:
        if isinstance(head.event, KillSwitchReset):
            trip_seq = active_trip_seq(state, head.event.scope)
            group = [replace(head, event=replace(head.event, trip_seq=trip_seq)), *group[1:]]
        apply(state, group)
    except CommandRefused:
        assert len(group) == 1, f"seq {head.seq} was refused, but others decided on it"
