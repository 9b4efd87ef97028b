"""A whole log applied by the compiled kernel: for long logs without a snapshot.

Market facts and decisions pass through the compiled loop in stretches. Anything else that changes the state (a
configuration, a command, the global switch) ends a stretch and is applied to the Structs.
"""

from __future__ import annotations

from functools import cache
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import numpy as np

from papertape.engine.kernel.codes import CANDLE, EXTERNAL_SIGNAL, FUNDING, OPEN_INTEREST, REASON_CODES
from papertape.engine.kernel.decision import Decision
from papertape.engine.kernel.replay_loop import make_follow, make_replay
from papertape.engine.kernel.state import Fact, GlobalKillSwitch
from papertape.engine.reducer.applied import apply_decision
from papertape.engine.reducer.causes import record_cause
from papertape.engine.reducer.decision_events import DECISION_KINDS, decision_of
from papertape.engine.reducer.reducer import apply, fold, is_decision
from papertape.engine.reducer.signals import remember_signal
from papertape.engine.reducer.state import EngineState, exit_reason_code, new_state
from papertape.engine.research.compiled_kernel import (
    data_part,
    guard_watch,
    own_digest,
    register_strategy,
    show_part,
    update_part,
)
from papertape.engine.research.guarded import STRETCH_FACTS
from papertape.engine.research.numba_callees import make_loop, make_part
from papertape.engine.research.recorded_tape import ROW
from papertape.engine.research.records import dtype_of, records_of, struct_of, values_of
from papertape.engine.research.rows import columns_of_rows
from papertape.engine.research.runner import CompiledRunner
from papertape.engine.research.shared_parts import load_shared
from papertape.events.facts import (
    GLOBAL_SCOPE,
    CandleClosed,
    DataRefused,
    EngineStarted,
    EngineStopped,
    EpochBegan,
    Event,
    FeedLost,
    FundingRateSettled,
    GapFilled,
    GapFound,
    KillSwitchTripped,
    OpenInterestObserved,
    RunnerConfigured,
    SignalReceived,
    StrategyFailed,
)
from papertape.events.log import Recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from papertape.engine.kernel.strategy import Strategy
    from papertape.events.log import LogReader

FACT_TYPE = dtype_of(Fact)
STATELESS = (EngineStarted, EngineStopped, EpochBegan, FeedLost, GapFilled, GapFound, DataRefused)


def replay_compiled(
    reader: LogReader,
    strategies: Mapping[str, Strategy],
    until_seq: int | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> EngineState:
    """Return the state after `until_seq` (the head by default), equal to the last bit to what `recover` returns.

    Raise LogDamaged, LogFromNewerVersion and ConfigError as `recover` does.
    """
    stretch = _ReplayBatch(strategies)
    for commit in reader.commits():
        events = commit.events if until_seq is None else commit.events[: max(0, until_seq + 1 - commit.seq)]
        try:
            stretch.take_all(events, commit.seq)
        except _HookFailed:
            return _replay_plain(reader, strategies, until_seq)
        if len(events) < len(commit.events):
            break
        on_progress(commit.last_seq)
    return stretch.end()


def _replay_plain(reader: LogReader, strategies: Mapping[str, Strategy], until_seq: int | None) -> EngineState:
    """Return the state after `until_seq`, folded by CPython."""
    world = new_state(strategies)
    recorded = (item for commit in reader.commits() for item in commit.recorded())
    fold(world, takewhile(lambda item: until_seq is None or item.seq <= until_seq, recorded))
    return world


class _HookFailed(Exception):
    """A hook failed in this log, or cannot be called: only CPython can follow that."""


@cache
def _loop(strategy: Strategy, digest: str) -> Callable[..., Any]:
    """Return the compiled loop of one strategy; the digest identifies what numba must compile anew."""
    register_strategy(strategy)
    load_shared()
    follow = make_part(make_follow(update_part(strategy)))  # type: ignore[arg-type]
    return make_loop(make_replay(data_part(strategy, follow), show_part(strategy)), digest)


class _ReplayBatch:
    """Facts and decisions collected since the last event of another kind."""

    def __init__(self, strategies: Mapping[str, Strategy]) -> None:
        self.world = new_state(strategies)
        self.facts = bytearray()
        self.decided: dict[str, list[Decision]] = {}
        self.runners: list[CompiledRunner] | None = None
        self.guards: Any = None
        self.maxima: Any = None

    def take_all(self, events: Sequence[Event], seq: int) -> None:
        """Collect the events of one commit, which begins at `seq`. Most are candles, so these cost no call."""
        if len(self.facts) >= STRETCH_FACTS * ROW.size:
            self.run()
        symbols, pack = self.world.symbols, ROW.pack
        for offset, event in enumerate(events):
            if type(event) is CandleClosed:
                at_ms = event.at_ms
                self.facts += pack(
                    CANDLE,
                    symbols[event.symbol],
                    event.timing,
                    at_ms - event.timeframe_ms,
                    at_ms,
                    event.open,
                    event.high,
                    event.low,
                    event.close,
                    event.volume,
                )
            else:
                self._take(event, seq + offset)

    def _take(self, event: Event, seq: int) -> None:
        """Collect a reading or a decision; anything else ends the stretch and is applied at once."""
        kind = type(event)
        if isinstance(event, FundingRateSettled):
            self._reading(FUNDING, event, event.rate)
        elif isinstance(event, OpenInterestObserved):
            self._reading(OPEN_INTEREST, event, event.open_interest_base)
        elif isinstance(event, SignalReceived):
            self._signal(event)
        elif (
            kind in DECISION_KINDS and self.facts and getattr(event, "scope", "") != GLOBAL_SCOPE and is_decision(event)
        ):
            self._decision(event, seq)
        elif kind is StrategyFailed:
            raise _HookFailed
        elif kind not in STATELESS:
            self._other(event, seq)
            if kind is RunnerConfigured and self.world.runner(event.strategy).strategy.fault:  # type: ignore[attr-defined]
                raise _HookFailed

    def _reading(self, kind: int, event: FundingRateSettled | OpenInterestObserved, value: float) -> None:
        """Collect a settlement or an open-interest reading as a packed fact."""
        symbol = self.world.symbols[event.symbol]
        self.facts += ROW.pack(kind, symbol, 0, event.at_ms, event.at_ms, 0.0, 0.0, 0.0, value, 0.0)

    def _signal(self, event: SignalReceived) -> None:
        """Remember a signal, and collect it as a packed fact with the number of its name."""
        remember_signal(self.world.signals, event)
        symbol, number = self.world.symbols[event.symbol], self.world.signals.names.index(event.name)
        self.facts += ROW.pack(EXTERNAL_SIGNAL, symbol, 0, number, event.at_ms, 0.0, 0.0, 0.0, event.value, 0.0)

    def _decision(self, event: Any, seq: int) -> None:
        """Collect a recorded decision, linked to the fact that it answers."""
        tripped = isinstance(event, KillSwitchTripped)
        name = event.scope if tripped else event.strategy
        runner = self.world.runner(name)
        symbol = 0 if tripped else self.world.symbols[event.symbol]
        reason = getattr(event, "reason", "signal")
        if reason not in REASON_CODES:
            exit_reason_code(runner, reason)
        decision = Decision(fact=len(self.facts) // ROW.size - 1)
        decision_of(event, symbol, runner.exit_reasons, decision)
        record_cause(runner, event, symbol, seq)
        self.decided.setdefault(name, []).append(decision)

    def _other(self, event: Event, seq: int) -> None:
        """End the stretch and apply the event to the Structs."""
        self.run()
        self._to_structs()
        if is_decision(event):  # What the global switch caused: it stands behind facts that have been followed.
            apply_decision(self.world, Recorded(seq, 0, 0, event))
        else:
            apply(self.world, [Recorded(seq, 0, 0, event)])

    def run(self) -> None:
        """Apply what was collected to every runner, then show the totals to the global switch."""
        if not self.facts:
            return
        facts = np.frombuffer(self.facts, dtype=FACT_TYPE).view(np.recarray)
        runners = self._to_arrays()
        totals, equities = np.zeros(len(facts)), np.empty(len(facts))
        for runner in runners:
            self._replay(runner, facts, equities)
            totals += equities
        columns = columns_of_rows(facts)
        at = 0
        while runners and at < len(facts):
            at = guard_watch()(columns, at, len(facts), totals[at:], self.guards, self.maxima)
            at += 1
        self.facts, self.decided = bytearray(), {}

    def _replay(self, runner: CompiledRunner, facts: Any, equities: Any) -> None:
        """Apply the stretch to one runner."""
        strategy = runner.runner.strategy
        runner.take_signal_names(self.world.signals.names)
        decided = [values_of(decision) for decision in self.decided.get(strategy.name, [])]
        recorded = np.array(decided, dtype=runner.out.dtype).view(np.recarray)
        loop = _loop(strategy, own_digest(strategy))
        loop(facts, *runner.replay_arguments(), recorded, equities)

    def _to_arrays(self) -> list[CompiledRunner]:
        """Return the runners as arrays, which stay until something other than a fact changes the state."""
        if self.runners is None:
            names = self.world.signals.names
            self.runners = [CompiledRunner(self.world, runner, None, names) for runner in self.world.runners]
            self.guards, self.maxima = records_of([self.world.guard]), np.array(self.world.maxima)
        return self.runners

    def _to_structs(self) -> None:
        """Write the arrays back into the Structs."""
        if self.runners is None:
            return
        for runner in self.runners:
            runner.write_back(self.world)
        if self.runners:
            self.world.guard, self.world.maxima = (
                struct_of(GlobalKillSwitch, self.guards[0].tolist()),
                self.maxima.tolist(),
            )
        self.runners = None

    def end(self) -> EngineState:
        """Apply the rest and return the state."""
        self.run()
        self._to_structs()
        return self.world
