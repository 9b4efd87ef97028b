"""The passes over sets of parameters in CPython: Structs in lists, and the runner's own guarded hooks."""

from __future__ import annotations

from array import array
from copy import copy
from functools import cached_property
from typing import TYPE_CHECKING, Any

from msgspec.structs import astuple

from papertape.engine.kernel.answers import Answer
from papertape.engine.kernel.codes import CANDLE
from papertape.engine.kernel.decision import NotedDecision
from papertape.engine.kernel.references import with_data
from papertape.engine.kernel.sets.beside import make_prepare_beside, make_update_beside
from papertape.engine.kernel.sets.find import fill_following, make_find, make_would_answer
from papertape.engine.kernel.sets.prepare import (
    fill_order,
    fill_pauses,
    make_follow_rows,
    make_prepare,
    make_update_row,
)
from papertape.engine.kernel.sets.tables import Asks, CandleTable, MarketRows, with_rows
from papertape.engine.kernel.sets.together import make_trade_all, make_trade_together
from papertape.engine.kernel.sets.trade import make_decide_row, make_trade_one, make_trade_set, make_trade_sets
from papertape.engine.kernel.signals import slots_of
from papertape.engine.kernel.state import Fact, FactColumns
from papertape.engine.kernel.view import MarketData, Reference, SeriesView, bind_hook, signal_part, with_series
from papertape.engine.reducer.state import decisions_max
from papertape.engine.research.copying import deep_copy
from papertape.engine.research.sets.sift import sift_hook
from papertape.engine.research.tape import run_ends

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from msgspec import Struct

    from papertape.engine.reducer.state import EngineState
    from papertape.engine.research.sets.plan import SetPlan
    from papertape.engine.research.tape import Tape


class PlainKit:
    """One strategy's passes in CPython. `world` is one that took the configuration of a run, and nothing else."""

    name = "python"

    def __init__(self, world: EngineState, plan: SetPlan, signal_names: Sequence[str]) -> None:
        self.runner, self.plan, self.world = world.runners[0], plan, world
        strategy, runner = self.runner.strategy, self.runner
        self._count, room = len(strategy.series), decisions_max(len(world.symbols))
        self.active = runner.active
        self.slots, self.references = slots_of(strategy.signals, signal_names), runner.references
        self.facts_scratch = [Fact()]
        self.notes = [strategy.reading() for _ in range(room)]
        self.out = [NotedDecision(reading=reading) for reading in self.notes]
        self.answers = [Answer(reading=strategy.reading())]
        self.desks, self.accounts = deep_copy(runner.desks), [deep_copy(runner.account)]
        self.rules, self.contracts, self.tiers = [runner.rules], world.contracts, world.tiers

    def facts(self, tape: Tape) -> FactColumns:
        """Return the facts of a tape."""
        return tape.columns()

    def by_symbol(self, facts: FactColumns) -> FactColumns:
        """Return the facts of one symbol after those of another, each in their order."""
        places = sorted(range(facts.total), key=facts.symbol.__getitem__)
        *columns, _ = (array(column.typecode, map(column.__getitem__, places)) for column in facts)
        return FactColumns._make([*columns, run_ends(*columns[:3])])

    def candles(self, facts: FactColumns) -> FactColumns:
        """Return the candles among facts."""
        if not any(facts.kind):
            return facts
        chosen = [f for f in range(facts.total) if facts.kind[f] == CANDLE]
        return FactColumns._make(array(column.typecode, map(column.__getitem__, chosen)) for column in facts)

    def observed(self, symbol: int | None) -> tuple[Any, ...]:
        """Return the new market of a symbol, or of all, before the first fact: markets, series, rings, signals."""
        world, runner, own = self.world, self.runner, slice(symbol, None if symbol is None else symbol + 1)
        series, bars = [one.series[own] for one in runner.series], [one.bars[own] for one in runner.series]
        parts = (world.markets[own], series, bars, world.settlements[own], world.readings[own], runner.signals[own])
        return deep_copy(parts)

    def rings(self, symbol: int) -> tuple[Any, Any, Any]:
        """Return new rings of a symbol: histories, followed by those of the references, settlements, and readings."""
        _, _, bars, settlements, readings, _ = self.observed(symbol)
        return sum((self.observed(r)[2] for r in self.references), bars), settlements, readings

    def records(self, structs: Sequence[Struct]) -> Any:
        """Return Structs of one type as rows."""
        return list(map(copy, structs))

    def twin(self, rows: Any) -> Any:
        """Return a copy of rows."""
        return deep_copy(rows)

    def copies(self, rows: Any, count: int) -> Any:
        """Return so many copies of rows."""
        return [deep_copy(rows) for _ in range(count)]

    def zeros(self, kind: type[Struct], count: int) -> Any:
        """Return rows of a type whose numbers are 0."""
        return [kind() for _ in range(count)]

    def ints(self, values: Sequence[int]) -> Any:
        """Return whole numbers as a column."""
        return array("q", values)

    def grid(self, rows: int, columns: int) -> Any:
        """Return a table of whole numbers."""
        return [array("i", bytes(4 * columns)) for _ in range(rows)]

    def counting(self, columns: int) -> Any:
        """Return a table of one row, 0 1 2 and so on."""
        return [array("i", range(columns))]

    def floats(self, rows: int, columns: int) -> Any:
        """Return a table of numbers."""
        return [array("d", bytes(8 * columns)) for _ in range(rows)]

    def table(self, candles: int) -> tuple[CandleTable, Asks]:
        """Return the empty tables of candles and of closes."""
        columns = (array("q", bytes(8 * (candles + 1))) for _ in range(9))
        return CandleTable(*(next(columns) for _ in range(7))), Asks(*columns)

    def rows(self, total: int) -> MarketRows:  # noqa: ARG002 - lists grow
        """Return rows to be filled."""
        series: list[list[Any]] = [[] for _ in range(self._count * (1 + len(self.references)))]
        return MarketRows([], series, [], [], [[] for _ in self.references], self.references)

    def add_idle(self, rows: MarketRows, n: int, observed: tuple[Any, ...], symbol: int) -> None:
        """Append the row of a symbol's candles between closes, at which nothing completes."""
        markets, series, bars, settlements, readings, signals = observed
        views = [
            tuple(SeriesView(candles[s], rings[s]) for candles, rings in zip(series, bars, strict=True))
            for s in range(len(markets))
        ]
        others = tuple(Reference(r, markets[r], views[r]) for r in self.references)
        own = settlements[symbol], readings[symbol], signals[symbol]
        append_row(rows, n, 0, MarketData(markets[symbol], views[symbol], *own, others))
        for candles in rows.series:
            candles[n].completed = 0

    def new_state(self) -> Any:
        """Return the strategy's state before the first fact, as a row."""
        return [self.runner.strategy.state()]

    def end_states(self, states: Any) -> None:
        """Add a state for the row of the candles between closes; nobody looks at it."""
        states.append(self.runner.strategy.state())

    def states(self, total: int, before: Any) -> Any:  # noqa: ARG002 - lists grow
        """Return room for the states of the strategy at every row."""
        return []

    def leaves(self, rows: Any) -> Iterator[tuple[Any, ...]]:
        """Return the numbers of every row."""
        return map(astuple, rows)

    def rows_bytes(self, table: Any) -> list[bytes]:
        """Return every row of a table of numbers as bytes."""
        return [row.tobytes() for row in table]

    def failed(self) -> bool:
        """Return whether a hook failed since this was asked last."""
        guard = self.runner.guard
        failed, guard.failure, guard.muted = guard.failure is not None, None, False
        return failed

    @cached_property
    def prepare(self) -> Callable[..., tuple[int, int]]:
        """The first pass."""
        return with_series(self._count, make_prepare(append_row))

    @cached_property
    def prepare_beside(self) -> Callable[..., tuple[int, int]]:
        """The first pass for a strategy with references."""
        return with_data(self._count, len(self.references), make_prepare_beside(append_row))

    @property
    def fill_order(self) -> Callable[..., int]:
        """The function that puts the candles of all symbols in order."""
        return fill_order

    @property
    def fill_pauses(self) -> Callable[..., int]:
        """The function that ends the table of candles."""
        return fill_pauses

    @cached_property
    def follow(self) -> Callable[..., int]:
        """The second pass."""
        update_row = make_update_row(self.runner.update_strategy)
        if self.references:
            update_row = make_update_beside(update_row, self.runner.update_by_reference)
        return make_follow_rows(self._on_rows(update_row), append_state)

    @cached_property
    def find_entries(self) -> Callable[..., int]:
        """The third pass, for entries."""
        strategy = self.runner.strategy
        would = make_would_answer(
            self._bound(self.runner.guard.guarded_hook("enter", strategy.hooks.enter)),
            len(strategy.signals),
            len(self.references),
            enters=True,
        )
        return make_find(self._on_rows(would), renew=self.plan.renews)

    @cached_property
    def sift_entries(self) -> Callable[..., int]:
        """The third pass, for the first conditions of entries; it may raise what a hook raises."""
        may_enter = self._bound(sift_hook(self.runner.strategy))
        return make_find(self._on_rows(make_would_answer(may_enter, 0, 0, enters=False)), renew=False)

    @cached_property
    def find_exits(self) -> Callable[..., int]:
        """The third pass, for exits."""
        would = make_would_answer(
            self._bound(self.runner.guard.guarded_hook("leave", self.runner.strategy.hooks.leave)), 0, 0, enters=False
        )
        return make_find(self._on_rows(would), renew=self.plan.renews_exit)

    @property
    def fill_following(self) -> Callable[..., int]:
        """The function that makes exits easy to look up."""
        return fill_following

    @cached_property
    def trade(self) -> Callable[..., int]:
        """The fourth pass, for one symbol."""
        return make_trade_sets(make_trade_set(self._trade_one(), skip_asks=self.plan.skips, watched=self.plan.watched))

    @cached_property
    def trade_all(self) -> Callable[..., int]:
        """The fourth pass, for several symbols."""
        return make_trade_all(
            make_trade_together(self._trade_one(), skip_asks=self.plan.skips, watched=self.plan.watched)
        )

    def _trade_one(self) -> Callable[..., None]:
        return make_trade_one(self._on_rows(make_decide_row(self.runner.decide)))

    def _on_rows(self, act: Callable[..., Any]) -> Callable[..., Any]:
        """Return `act`, bound to what was observed at a row."""
        return with_rows(self._count, len(self.references), act)

    def _bound(self, hook: Callable[..., Any]) -> Callable[..., Any]:
        """Return a deciding hook, bound to the strategy's view."""
        strategy = self.runner.strategy
        shown = strategy.series, strategy.reference_names, strategy.signals, signal_part(strategy.signals)
        return bind_hook(*shown, hook)


def append_row(rows: MarketRows, n: int, f: int, data: Any) -> None:  # noqa: ARG001 - lists grow
    """Append what was observed at a fact."""
    rows.fact.append(f)
    views = [*data.series, *(view for other in data.references for view in other.series)]
    for own, view in zip(rows.series, views, strict=True):
        own.append(deep_copy(view.candle))
    for markets, other in zip(rows.others, data.references, strict=True):
        markets.append(deep_copy(other.market))
    rows.markets.append(deep_copy(data.market))
    rows.signals.append(deep_copy(data.signals))


def append_state(states: Any, r: int, state: Any) -> None:  # noqa: ARG001 - lists grow
    """Append a state."""
    states.append(deep_copy(state))
