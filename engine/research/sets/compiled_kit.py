"""The passes over sets of parameters, compiled by numba: records in arrays, and loops in the disk cache."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from papertape.engine.kernel.codes import CANDLE
from papertape.engine.kernel.references import with_data
from papertape.engine.kernel.sets.beside import make_prepare_beside, make_update_beside, store_row_beside
from papertape.engine.kernel.sets.find import fill_following, make_find, make_would_answer
from papertape.engine.kernel.sets.prepare import (
    fill_order,
    fill_pauses,
    make_follow_rows,
    make_prepare,
    make_update_row,
    store_row,
    store_state,
)
from papertape.engine.kernel.sets.tables import Asks, CandleTable, MarketRows, with_rows
from papertape.engine.kernel.sets.together import make_trade_all, make_trade_together
from papertape.engine.kernel.sets.trade import make_decide_row, make_trade_one, make_trade_set, make_trade_sets
from papertape.engine.kernel.state import FactColumns, Market, Series
from papertape.engine.kernel.view import with_series
from papertape.engine.research.compiled_kernel import (
    bound_hook,
    decide_part,
    make_known,
    own_digest,
    reference_part,
    register_hook,
    register_strategy,
    update_part,
)
from papertape.engine.research.engine_choice import SHARED_S
from papertape.engine.research.loop_cache import is_compiled
from papertape.engine.research.numba_callees import make_loop, make_part
from papertape.engine.research.records import dtype_of, leaves_of, records_of
from papertape.engine.research.rows import run_ends
from papertape.engine.research.runner import CompiledRunner
from papertape.engine.research.sets.plan import plan_of
from papertape.engine.research.sets.sift import sift_hook
from papertape.engine.research.shared_parts import compiled_digest, is_shared_stored, load_shared

LOOP_S = 3.0
"""The time to compile one of the loops over sets."""

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from msgspec import Struct

    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.reducer.state import EngineState
    from papertape.engine.research.records import Array
    from papertape.engine.research.sets.plan import SetPlan
    from papertape.engine.research.tape import Tape


class CompiledKit:
    """One strategy's passes, compiled. `world` is one that took the configuration of a run, and nothing else."""

    name = "compiled"

    def __init__(self, world: EngineState, plan: SetPlan, signal_names: Sequence[str]) -> None:
        self.strategy = world.runners[0].strategy
        self._runner = runner = CompiledRunner(world, world.runners[0], None, signal_names)
        self._loops = set_loops(self.strategy, plan)
        self.slots, self.active, self.facts_scratch = runner.slots, runner.active, runner.scratch
        self.references = runner.references
        self.notes, self.out, self.answers = runner.notes, runner.out, runner.answer
        self.desks, self.accounts = runner.state["desks"], runner.state["accounts"]
        self.rules, self.contracts, self.tiers = runner.rules, runner.contracts, runner.tiers
        self._state = records_of([self.strategy.state()]).dtype
        load_shared()

    def facts(self, tape: Tape) -> FactColumns:
        """Return the facts of a tape."""
        return FactColumns._make(np.require(column, requirements=("C", "A", "W")) for column in tape.arrays())

    def by_symbol(self, facts: FactColumns) -> FactColumns:
        """Return the facts of one symbol after those of another, each in their order."""
        places = np.argsort(facts.symbol, kind="stable")
        *columns, _ = (column[places] for column in facts)
        return FactColumns._make([*columns, run_ends(*columns[:3])])

    def candles(self, facts: FactColumns) -> FactColumns:
        """Return the candles among facts."""
        chosen = facts.kind == CANDLE
        return facts if chosen.all() else FactColumns._make(column[chosen] for column in facts)

    def observed(self, symbol: int | None) -> tuple[Any, ...]:
        """Return the new market of a symbol, or of all, before the first fact: markets, series, rings, signals."""
        state, own = self._runner.state, slice(symbol, None if symbol is None else symbol + 1)
        parts = (state["markets"][own], state["series"][:, own], state["bars"][:, own], self._runner.settlements[own])
        return tuple(part.copy() for part in (*parts, state["readings"][own], state["signals"][own]))

    def rings(self, symbol: int) -> tuple[Any, Any, Any]:
        """Return new rings of a symbol: histories, followed by those of the references, settlements, and readings."""
        _, _, bars, settlements, readings, _ = self.observed(symbol)
        if not len(self.references):
            return bars, settlements, readings
        return np.concatenate([bars, *(self.observed(int(r))[2] for r in self.references)]), settlements, readings

    def records(self, structs: Sequence[Struct]) -> Array:
        """Return Structs of one type as rows."""
        return records_of(structs)

    def twin(self, rows: Array) -> Array:
        """Return a copy of rows."""
        return rows.copy()

    def copies(self, rows: Any, count: int) -> Any:
        """Return so many copies of rows."""
        return np.broadcast_to(rows, (count, *rows.shape)).copy()

    def zeros(self, kind: type[Struct], count: int) -> Any:
        """Return rows of a type whose numbers are 0."""
        return np.zeros(count, dtype=dtype_of(kind))

    def ints(self, values: Sequence[int]) -> Array:
        """Return whole numbers as a column."""
        return np.array(values, dtype=np.int64)

    def grid(self, rows: int, columns: int) -> Array:
        """Return a table of whole numbers, which are written before they are read."""
        return np.empty((rows, columns), dtype=np.int32)

    def counting(self, columns: int) -> Array:
        """Return a table of one row, 0 1 2 and so on."""
        return np.arange(columns, dtype=np.int32).reshape(1, columns)

    def floats(self, rows: int, columns: int) -> Array:
        """Return a table of numbers."""
        return np.zeros((rows, columns))

    def table(self, candles: int) -> tuple[CandleTable, Asks]:
        """Return the empty tables of candles and of closes."""
        kinds = (np.int32, np.int8, np.int32, np.int32, np.int32, np.int32, np.int64)
        table = CandleTable(*(np.zeros(candles + 1, dtype=kind) for kind in kinds))
        return table, Asks(np.zeros(candles + 1, dtype=np.int32), np.zeros(candles + 1, dtype=np.int32))

    def rows(self, total: int) -> MarketRows:
        """Return rows to be filled; memory that no row is written to costs nothing."""
        count, signals = len(self.strategy.series), self._runner.state["signals"]
        others = len(self.references)
        return MarketRows(
            np.empty(total, dtype=np.int64),
            np.empty((count * (1 + others), total), dtype=dtype_of(Series)),
            np.empty(total, dtype=dtype_of(Market)),
            np.empty((total, signals.shape[1]), dtype=signals.dtype),
            np.empty((others, total), dtype=dtype_of(Market)),
            self.references,
        )

    def add_idle(self, rows: MarketRows, n: int, observed: tuple[Any, ...], symbol: int) -> None:
        """Make row `n` that of a symbol's candles between closes, at which nothing completes."""
        markets, series, *_, signals = observed
        seen = [symbol, *self.references]
        rows.series[:, n] = series[:, seen].T.reshape(-1)
        rows.markets[n], rows.others[:, n], rows.signals[n] = markets[symbol], markets[self.references], signals[symbol]
        rows.series["completed"][:, n] = 0

    def new_state(self) -> Array:
        """Return the strategy's state before the first fact, as a row."""
        return records_of([self.strategy.state()])

    def end_states(self, states: Array) -> None:
        """Leave the states as they are: there is a place for the row of the candles between closes."""

    def states(self, total: int, before: Array | None) -> Array:
        """Return room for the states of the strategy at every row: memory that was used before costs less."""
        return np.empty(total, dtype=self._state) if before is None else before

    def leaves(self, rows: Array) -> Iterator[tuple[Any, ...]]:
        """Return the numbers of every row."""
        return leaves_of(rows)

    def rows_bytes(self, table: Array) -> list[bytes]:
        """Return every row of a table of numbers as bytes."""
        packed, size = table.tobytes(), table.shape[1] * table.itemsize
        return [packed[start : start + size] for start in range(0, len(packed), size)]

    def failed(self) -> bool:
        """Return False: a hook that fails raises."""
        return False

    @property
    def prepare(self) -> Callable[..., tuple[int, int]]:
        """The first pass."""
        return prepare_loop(len(self.strategy.series), 0)

    @property
    def prepare_beside(self) -> Callable[..., tuple[int, int]]:
        """The first pass for a strategy with references."""
        return prepare_loop(len(self.strategy.series), len(self.references))

    @property
    def fill_order(self) -> Callable[..., int]:
        """The function that puts the candles of all symbols in order."""
        return table_loop(fill_order)

    @property
    def fill_pauses(self) -> Callable[..., int]:
        """The function that ends the table of candles."""
        return table_loop(fill_pauses)

    @property
    def follow(self) -> Callable[..., int]:
        """The second pass."""
        return self._loops["follow"]

    @property
    def find_entries(self) -> Callable[..., int]:
        """The third pass, for entries."""
        return self._loops["enter"]

    @property
    def sift_entries(self) -> Callable[..., int]:
        """The third pass, for the first conditions of entries; it may raise what a hook raises."""
        return self._loops["sift"]

    @property
    def find_exits(self) -> Callable[..., int]:
        """The third pass, for exits."""
        return self._loops["leave"]

    @property
    def fill_following(self) -> Callable[..., int]:
        """The function that makes exits easy to look up."""
        return table_loop(fill_following)

    @property
    def trade(self) -> Callable[..., int]:
        """The fourth pass, for one symbol."""
        return self._loops["trade"]

    @property
    def trade_all(self) -> Callable[..., int]:
        """The fourth pass, for several symbols."""
        return self._loops["trade_all"]


@cache
def prepare_loop(count: int, references: int) -> Callable[..., tuple[int, int]]:
    """Return the compiled first pass for strategies with so many series and references; they all share it."""
    make_known()
    if references == 0:
        return _loop(with_series(count, make_part(make_prepare(store_row))), "prepare", compiled_digest())  # type: ignore[arg-type]
    beside = with_data(count, references, make_part(make_prepare_beside(store_row_beside)), make_part)  # type: ignore[arg-type]
    return _loop(beside, f"prepare_beside_{references}", compiled_digest())


@cache
def table_loop(function: Callable[..., int]) -> Callable[..., int]:
    """Return a function over tables, compiled; it is the same for all strategies."""
    return make_loop(function, compiled_digest())


_LOOPS: dict[tuple[str, str, str], dict[str, Callable[..., Any]]] = {}


def set_loops(strategy: Strategy, plan: SetPlan) -> dict[str, Callable[..., Any]]:
    """Return the loops of one strategy by name; each is compiled at its first call, or comes from the disk cache."""
    digest = f"{own_digest(strategy)} {plan}"
    key = (strategy.name, strategy.source, digest)
    if key not in _LOOPS:
        register_strategy(strategy)
        _LOOPS[key] = {
            name: _loop(made, f"{name}.{strategy.name}", digest) for name, made in loop_functions(strategy, plan)
        }
    return _LOOPS[key]


def loop_functions(strategy: Strategy, plan: SetPlan) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield the loops of a strategy before they are compiled."""
    hooks, signals, references = strategy.hooks, len(strategy.signals), len(strategy.references)
    update_row = make_update_row(update_part(strategy))
    if references:
        update_row = make_update_beside(make_part(update_row), reference_part(strategy))  # type: ignore[arg-type]
    yield "follow", make_follow_rows(_on_rows(strategy, update_row), store_state)
    if plan.finds:
        would_enter = make_would_answer(bound_hook(strategy, hooks.enter), signals, references, enters=True)
        yield "enter", make_find(_on_rows(strategy, would_enter), renew=plan.renews)
    if any(plan.sifting):
        may_enter = bound_hook(strategy, register_hook(strategy, sift_hook(strategy)))
        yield "sift", make_find(_on_rows(strategy, make_would_answer(may_enter, 0, 0, enters=False)), renew=False)
    if plan.skips:
        would_leave = make_would_answer(bound_hook(strategy, hooks.leave), 0, 0, enters=False)
        yield "leave", make_find(_on_rows(strategy, would_leave), renew=plan.renews_exit)
    trade_one = make_part(make_trade_one(_on_rows(strategy, make_decide_row(decide_part(strategy)))))  # type: ignore[arg-type]
    yield "trade", make_trade_sets(make_part(make_trade_set(trade_one, skip_asks=plan.skips, watched=plan.watched)))  # type: ignore[arg-type]
    together = make_trade_together(trade_one, skip_asks=plan.skips, watched=plan.watched)
    yield "trade_all", make_trade_all(make_part(together))  # type: ignore[arg-type]


def _on_rows(strategy: Strategy, act: Callable[..., Any]) -> Any:
    """Return `act`, bound to what was observed at a row, as a part of a loop."""
    return make_part(with_rows(len(strategy.series), len(strategy.references), make_part(act), make_part))  # type: ignore[arg-type]


def _loop(function: Callable[..., Any], name: str, digest: str) -> Callable[..., Any]:
    """Return a compiled function under a name, and so a cache file, of its own."""
    function.__qualname__ = f"{function.__qualname__}.{name}"
    return make_loop(function, digest)


def compile_s(strategy: Strategy, symbols: int) -> float:
    """Return about how many seconds it takes to compile what is in no cache and serves so many symbols."""
    unused = "trade_all" if symbols == 1 else "trade"
    own = [loop for name, loop in set_loops(strategy, plan_of(strategy)).items() if name != unused]
    loops = [*own, prepare_loop(len(strategy.series), len(strategy.references))]
    missing = sum(not is_compiled(loop) for loop in loops)
    return missing * LOOP_S + (0.0 if is_shared_stored() else SHARED_S)
