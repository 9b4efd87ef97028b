"""A backtest: the files of a file feed as a tape, the configured runners over it, and what came of it."""

from __future__ import annotations

import gc
import time
from array import array
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from threading import Thread
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from papertape.engine.feeds.files import csv_polars
from papertape.engine.reducer.reducer import cause_of, decide, gap_entries
from papertape.engine.reducer.state import EngineState, new_state
from papertape.engine.research.course import DAYS_MAX, EquitySummary, course_of, make_walk
from papertape.engine.research.guarded import DecidedEvent, TapeEngine, run_tape
from papertape.engine.research.plain import PlainEngine
from papertape.engine.research.tape import Tape, fact_event, tape_of
from papertape.engine.runner_settings import RunnerSettings, configuration
from papertape.engine.strategy_registry import shipped_digest
from papertape.events.errors import UsageError
from papertape.events.facts import GLOBAL_SCOPE, CandleClosed, Event, KillSwitchReset, KillSwitchTripped, OrderPlaced
from papertape.events.log import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from papertape.engine.feeds.files.columns import CandleColumns
    from papertape.engine.feeds.files.csv_reader import QuickReader
    from papertape.engine.feeds.files.feed import FileFeed
    from papertape.engine.feeds.files.table_source import TableText
    from papertape.engine.kernel.state import FactColumns
    from papertape.engine.kernel.strategy import Strategy

ENGINES = ("auto", "python", "compiled")
AFTER_TRIP = ("stop", "continue")
RESET_BY = ("--after-trip continue", "a new UTC day began")
"""The name and the reason that the log records for resets in a run that continues after a trip."""


class Backtest(Struct):
    """What a run over files brought. `courses` and `equities` run in the order of the world's runners."""

    engine: str
    tape: Tape
    facts: FactColumns
    configuration: list[Event]
    world: EngineState
    decided: list[DecidedEvent]
    equities: list[Any]
    courses: list[EquitySummary]
    took_s: float

    def entries(self, before: Sequence[Entry]) -> Iterator[list[Entry]]:
        """The whole run as groups of log entries, behind those that stand `before` it: an input, then what followed."""
        seq = len(before)
        for event in self.configuration:
            seq += 1
            yield [Entry(event)]
        causes = _Causes()
        by_fact = _by_fact(self.decided)
        for index in range(self.facts.total):
            found = by_fact.get(index, ())
            decided = [item for item in found if not isinstance(item.event, KillSwitchReset)]
            group = causes.group(fact_event(self.tape.contracts, self.facts.at(index)), decided, seq + 1)
            seq += len(group)
            yield group
            for item in found:
                if isinstance(item.event, KillSwitchReset):
                    seq += 1
                    yield [causes.reset(item.event)]

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
) -> Backtest:
    """Run the configured strategies over the files. `on_progress` hears how many facts are done.

    `after_trip` "continue" resets a tripped kill switch at the next UTC day, "stop" leaves it tripped.
    Raises ConfigError for settings that do not fit, UsageError when the compiled engine is asked for without numba.
    """
    if after_trip not in AFTER_TRIP:
        raise UsageError(f"--after-trip {after_trip}: there are {', '.join(AFTER_TRIP)}")
    compiled = _is_compiled(engine)
    tape = tape_of(feed, start_ms, end_ms)
    events = configuration(strategies, tape.contracts, runners)
    world = new_state(strategies)
    for seq, event in enumerate(events, 1):
        decide(world, event, seq)
    started = time.perf_counter()
    made = _engine(world, tape, compiled)
    outcome = run_tape(world, made, on_progress, reset_by=RESET_BY if after_trip == "continue" else None)
    courses = _courses(world, made, outcome.equities, compiled)
    took_s = time.perf_counter() - started
    return Backtest(made.name, tape, made.facts, events, world, outcome.decided, outcome.equities, courses, took_s)


@contextmanager
def import_ahead(engine: str) -> Iterator[QuickReader]:
    """Import the compiler in the background of other work, where it will be needed: it takes half a second.

    Gives the quickest reader of files there is then. The garbage collector rests meanwhile, and leaves alone for
    good what the imports made.
    """
    if not _is_compiled(engine):
        yield csv_polars.candles
        return
    collecting = gc.isenabled()
    gc.disable()
    importing = Thread(target=import_module, args=("papertape.engine.research.compiled",), daemon=True)
    importing.start()
    try:
        yield _compiled_reader
    finally:
        importing.join()
        gc.freeze()
        if collecting:
            gc.enable()


def _compiled_reader(table: TableText, grid_ms: int) -> CandleColumns | None:
    """The compiled reader; waits for the import."""
    from papertape.engine.research.tables import candles  # noqa: PLC0415 - belongs to an extra

    return candles(table, grid_ms)


def _is_compiled(engine: str) -> bool:
    """Whether to compile: as asked, or where numba is installed."""
    if engine not in ENGINES:
        raise UsageError(f"--engine {engine}: there are {', '.join(ENGINES)}")
    installed = find_spec("numba") is not None
    if engine == "compiled" and not installed:
        raise UsageError("--engine compiled needs numba: install papertape with its extra `research`")
    return installed and engine != "python"


def _engine(world: EngineState, tape: Tape, compiled: bool) -> TapeEngine:
    """The engine for the tape; numba is imported only when it is used."""
    if not compiled:
        return PlainEngine(world, tape)
    from papertape.engine.research.compiled import CompiledEngine  # noqa: PLC0415 - belongs to an extra

    return CompiledEngine(world, tape)


def _courses(world: EngineState, made: TapeEngine, equities: list[Any], compiled: bool) -> list[EquitySummary]:
    """The course of every runner."""
    days: Any = array("d", bytes(8 * DAYS_MAX))
    walk = make_walk(shipped_digest())
    if compiled:
        from papertape.engine.research.compiled import compiled_walk  # noqa: PLC0415 - belongs to an extra
        from papertape.engine.research.rows import floats  # noqa: PLC0415 - likewise

        walk, days = compiled_walk(shipped_digest()), floats(days)
    return [
        course_of(walk, made.facts, equity, runner.rules.capital_usdt, days)
        for runner, equity in zip(world.runners, equities, strict=True)
    ]


def _by_fact(decided: Sequence[DecidedEvent]) -> dict[int, list[DecidedEvent]]:
    """Decisions by the index of the fact they answer."""
    found: dict[int, list[DecidedEvent]] = {}
    for item in decided:
        found.setdefault(item.fact, []).append(item)
    return found


class _Causes:
    """Gives every event of a run the cause it has in a log, as the live engine does."""

    def __init__(self) -> None:
        self._orders: dict[tuple[str, str], int] = {}
        self._trips: dict[str, int] = {}
        self._closes: dict[str, int] = {}

    def group(self, event: Any, decided: Sequence[DecidedEvent], seq: int) -> list[Entry]:
        """An input that stands at `seq`, with its consequences."""
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
        """A decision with its cause; what later events will name is remembered."""
        if isinstance(event, KillSwitchTripped):
            self._trips[event.scope] = own_seq
            return Entry(event, seq)
        place = (event.strategy, event.symbol)
        trip_seq = self._trips.get(event.strategy, self._trips.get(GLOBAL_SCOPE, 0))
        cause = cause_of(event, seq, self._orders.get(place, 0), trip_seq)
        if isinstance(event, OrderPlaced):
            self._orders[place] = own_seq
        return Entry(event, cause)
