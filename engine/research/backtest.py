"""A backtest: the files of a file feed as a tape, the configured runners over it, and the result."""

from __future__ import annotations

import gc
import time
from array import array
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from papertape.engine.feeds.files import csv_polars
from papertape.engine.reducer.causes import cause_of, slot_of
from papertape.engine.reducer.reducer import decide, gap_entries
from papertape.engine.reducer.state import ORDER_SLOTS, EngineState, new_state
from papertape.engine.research.cpython_kernel import PlainEngine
from papertape.engine.research.engine_choice import (
    check_engine,
    import_s,
    is_worth_compiling,
    is_worth_importing,
    rows_about,
)
from papertape.engine.research.equity_curve import DAYS_MAX, EquitySummary, summarize_equity, walk_equity
from papertape.engine.research.guarded import DecidedEvent, TapeEngine, run_tape
from papertape.engine.research.hook_errors import HOOK_ERRORS
from papertape.engine.research.tape import Tape, fact_event, remember_signals, tape_of
from papertape.engine.runner_settings import RunnerSettings, configuration
from papertape.events.errors import UsageError
from papertape.events.facts import (
    GLOBAL_SCOPE,
    CandleClosed,
    Event,
    KillSwitchReset,
    KillSwitchTripped,
    OrderPlaced,
    StrategyFailed,
)
from papertape.events.log import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from papertape.engine.feeds.files.columns import CandleColumns
    from papertape.engine.feeds.files.csv_reader import QuickReader
    from papertape.engine.feeds.files.feed import FileFeed
    from papertape.engine.feeds.files.table_source import TableText
    from papertape.engine.kernel.state import FactColumns
    from papertape.engine.kernel.strategy import Strategy

AFTER_TRIP = ("stop", "continue")
RESET_BY = ("--after-trip continue", "a new UTC day began")
"""The name and the reason that the log records for resets in a run that continues after a trip."""


class Backtest(Struct):
    """The result of a run over files. `summaries` and `equities` are in the order of the state's runners."""

    engine: str
    tape: Tape
    facts: FactColumns
    configuration: list[Event]
    world: EngineState
    decided: list[DecidedEvent]
    equities: list[Any]
    summaries: list[EquitySummary]
    took_s: float

    def entries(self, before: Sequence[Entry]) -> Iterator[list[Entry]]:
        """Yield the whole run as groups of log entries, after those `before` it: an input, then its consequences."""
        seq = len(before)
        for event in self.configuration:
            seq += 1
            yield [Entry(event)]
        causes = _Causes()
        by_fact = _by_fact(self.decided)
        for index in range(self.facts.total):
            found = by_fact.get(index, ())
            decided = [item for item in found if not isinstance(item.event, KillSwitchReset)]
            group = causes.group(fact_event(self.tape, self.facts.at(index)), decided, seq + 1)
            seq += len(group)
            yield group
            for item in found:
                if isinstance(item.event, KillSwitchReset):
                    seq += 1
                    yield [causes.reset(item.event)]

    @property
    def failures(self) -> list[StrategyFailed]:
        """The failures that parked strategies, in order."""
        return [item.event for item in self.decided if isinstance(item.event, StrategyFailed)]

    @property
    def resets(self) -> int:
        """The number of trips that were reset, of strategies and of the global switch."""
        return sum(isinstance(item.event, KillSwitchReset) for item in self.decided)


def backtest(
    feed: FileFeed,
    strategies: Mapping[str, Strategy],
    runners: Mapping[str, RunnerSettings],
    engine: str = "auto",
    start_ms: int | None = None,
    end_ms: int | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
    after_trip: str = "stop",
    on_compiling: Callable[[str], None] = lambda _: None,
) -> Backtest:
    """Run the configured strategies over the files. `on_progress` receives the number of facts done.

    `after_trip` "continue" resets a tripped kill switch at the next UTC day, "stop" leaves it tripped. Raise
    ConfigError for settings that do not fit, and for a strategy that cannot be compiled or whose hook fails; raise
    UsageError if the compiled engine is requested without numba. `on_compiling` receives a line if that takes long.
    """
    tape = tape_of(feed, start_ms, end_ms)
    return backtest_tape(tape, strategies, runners, engine, on_progress, after_trip, on_compiling)


def backtest_tape(
    tape: Tape,
    strategies: Mapping[str, Strategy],
    runners: Mapping[str, RunnerSettings],
    engine: str = "auto",
    on_progress: Callable[[int], None] = lambda _: None,
    after_trip: str = "stop",
    on_compiling: Callable[[str], None] = lambda _: None,
) -> Backtest:
    """Run the configured strategies over a tape; see `backtest`."""
    if after_trip not in AFTER_TRIP:
        raise UsageError(f"--after-trip {after_trip}: there are {', '.join(AFTER_TRIP)}")
    check_engine(engine)
    events = configuration(strategies, tape.contracts, runners)
    reset_by = RESET_BY if after_trip == "continue" else None
    started = time.perf_counter()
    world = _configured(strategies, events)
    tape_engine = _engine(world, tape, engine, on_compiling)
    try:
        outcome = run_tape(world, tape_engine, on_progress, reset_by=reset_by)
    except HOOK_ERRORS:
        if tape_engine.name == "python":
            raise
        # Compiled code does not say where it failed. CPython does, and parks the strategy there.
        return backtest_tape(tape, strategies, runners, "python", on_progress, after_trip)
    remember_signals(world, tape, tape_engine.facts)
    summaries = _summaries(world, tape_engine, outcome.equities)
    took_s = time.perf_counter() - started
    return Backtest(
        tape_engine.name, tape, tape_engine.facts, events, world, outcome.decided, outcome.equities, summaries, took_s
    )


def _configured(strategies: Mapping[str, Strategy], events: Sequence[Event]) -> EngineState:
    """Return the state after the events that configure a run."""
    world = new_state(strategies)
    for seq, event in enumerate(events, 1):
        decide(world, event, seq)
    return world


@contextmanager
def import_ahead(engine: str, files: Sequence[str], strategies: int) -> Iterator[QuickReader]:
    """Import the compiler in the background of other work, if it will be needed: that takes half a second.

    Yield the quickest reader of files that is then available. The garbage collector rests meanwhile, and permanently
    ignores what the imports created.
    """
    check_engine(engine)
    if not is_worth_importing(engine, rows_about(files), strategies, import_s()):
        yield csv_polars.candles
        return
    collecting = gc.isenabled()
    gc.disable()
    importing = Thread(target=import_module, args=("papertape.engine.research.compiled_kernel",), daemon=True)
    importing.start()
    try:
        yield partial(_compiled_reader, importing)
    finally:
        importing.join()
        gc.freeze()
        if collecting:
            gc.enable()


def _compiled_reader(importing: Thread, table: TableText, grid_ms: int) -> CandleColumns | None:
    """Read by the compiled reader after its import: two threads that import the compiler can lock each other out."""
    importing.join()
    from papertape.engine.research.tables import candles  # noqa: PLC0415 - belongs to an extra

    return candles(table, grid_ms)


def _engine(world: EngineState, tape: Tape, engine: str, on_compiling: Callable[[str], None]) -> TapeEngine:
    """Return the engine for the tape; import numba only if it is used."""
    facts, runners = tape.total(), len(world.runners)
    printing = engine == "auto" and any("print(" in runner.strategy.source for runner in world.runners)
    if printing or not is_worth_importing(engine, facts, runners, import_s()):
        return PlainEngine(world, tape)
    from papertape.engine.research.compiled_kernel import CompiledEngine  # noqa: PLC0415 - belongs to an extra

    compiled = CompiledEngine(world, tape)
    if engine == "auto" and not is_worth_compiling(facts, runners, compiled.compile_s()):
        return PlainEngine(world, tape)
    compiled.compile(on_compiling)
    return compiled


def _summaries(world: EngineState, tape_engine: TapeEngine, equities: list[Any]) -> list[EquitySummary]:
    """Return the summary of every runner's equity curve."""
    days: Any = array("d", bytes(8 * DAYS_MAX))
    walk: Callable[..., Any] = walk_equity
    if tape_engine.name == "compiled":
        from papertape.engine.research.compiled_kernel import compiled_walk  # noqa: PLC0415 - belongs to an extra
        from papertape.engine.research.rows import floats  # noqa: PLC0415 - likewise

        walk, days = compiled_walk(), floats(days)
    return [
        summarize_equity(walk, tape_engine.facts, equity, runner.rules.capital_usdt, days)
        for runner, equity in zip(world.runners, equities, strict=True)
    ]


def _by_fact(decided: Sequence[DecidedEvent]) -> dict[int, list[DecidedEvent]]:
    """Return the decisions by the index of the fact that they answer."""
    by_fact: dict[int, list[DecidedEvent]] = {}
    for item in decided:
        by_fact.setdefault(item.fact, []).append(item)
    return by_fact


class _Causes:
    """Gives every event of a run its cause, as the live engine does."""

    def __init__(self) -> None:
        self._orders: dict[tuple[str, str], list[int]] = {}
        self._trips: dict[str, int] = {}
        self._closes: dict[str, int] = {}
        self._failed: dict[str, int] = {}

    def group(self, event: Any, decided: Sequence[DecidedEvent], seq: int) -> list[Entry]:
        """Return an input at `seq` with its consequences."""
        entries = [Entry(event), *gap_entries(event, self._closes.get(event.symbol, -1), seq)]
        if isinstance(event, CandleClosed):
            self._closes[event.symbol] = event.at_ms
        for item in decided:
            entries.append(self._entry(item.event, seq, seq + len(entries)))
        return entries

    def reset(self, event: KillSwitchReset) -> Entry:
        """Return a reset with the seq of the trip that it ends, and forget that trip."""
        trip_seq = self._trips.pop(event.scope)
        return Entry(replace(event, trip_seq=trip_seq), trip_seq)

    def _entry(self, event: Any, seq: int, own_seq: int) -> Entry:
        """Return a decision with its cause, and remember what later events will name."""
        if isinstance(event, KillSwitchTripped):
            self._trips[event.scope] = own_seq
            return Entry(event, seq)
        place = (event.strategy, event.symbol)
        trip_seq = self._trips.get(event.strategy, self._trips.get(GLOBAL_SCOPE, 0))
        orders = self._orders.setdefault(place, [0] * ORDER_SLOTS)
        cause = cause_of(event, seq, orders, trip_seq, self._failed.get(event.strategy, 0))
        if isinstance(event, StrategyFailed):
            self._failed[event.strategy] = own_seq
        if isinstance(event, OrderPlaced):
            orders[slot_of(event)] = own_seq
        return Entry(event, cause)
