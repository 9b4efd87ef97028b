"""A runner as arrays: advanced by the compiled loop, and written back as Structs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from papertape.engine.kernel.answers import Answer
from papertape.engine.kernel.decision import Decision
from papertape.engine.kernel.signals import SignalValue, slots_of
from papertape.engine.kernel.state import Account, Bar, Fact, Market, OpenInterest, Series, Settlement, SymbolState
from papertape.engine.reducer.state import decisions_max
from papertape.engine.research.decisions import events_of
from papertape.engine.research.loop_cache import is_stored
from papertape.engine.research.records import Array, dtype_of, records_of, struct_of, structs_of
from papertape.engine.research.shared_parts import load_shared

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from papertape.engine.kernel.state import FactColumns
    from papertape.engine.reducer.state import EngineState, Runner
    from papertape.events.facts import Event

OUT_ROWS = 4_096


class CompiledRunner:
    """One runner over a tape. It has its own copy of markets and series, as runners share nothing.

    Without a loop it has room for the decisions on one fact.
    """

    def __init__(
        self, world: EngineState, runner: Runner, loop: Callable[..., Any] | None, signal_names: Sequence[str]
    ) -> None:
        self.runner = runner
        self.take_signal_names(signal_names)
        self.loop = loop
        self.symbols = list(world.symbols)
        self.references = np.array(runner.references, dtype=np.int64)
        self.active = np.array(runner.active, dtype=np.bool_)
        self.params, self.needs = records_of(runner.params), records_of(runner.needs)
        self.rules = records_of([runner.rules])
        self.contracts = records_of(world.contracts)
        self.tiers = _table(world.tiers)
        self.settlements = _table(world.settlements)
        self.room = decisions_max(len(world.symbols))
        reading = dtype_of(runner.strategy.reading)
        self.out = np.zeros(self.room if loop is None else OUT_ROWS + self.room, dtype=dtype_of(Decision))
        self.notes = np.zeros(len(self.out), dtype=reading)
        self.scratch = records_of([Fact()])
        self.answer = np.zeros(1, dtype=dtype_of(Answer, reading=reading))
        self.state = {
            "markets": records_of(world.markets),
            "series": np.stack([records_of(one.series) for one in runner.series]),
            "bars": np.stack([_table(one.bars) for one in runner.series]),
            "readings": _table(world.readings),
            "signals": _table(runner.signals),
            "desks": records_of(runner.desks),
            "states": records_of(runner.states),
            "accounts": records_of([runner.account]),
        }

    def take_signal_names(self, names: Sequence[str]) -> None:
        """Learn what the numbers of names or series in the facts mean."""
        self.slots = np.array(slots_of(self.runner.strategy.signals, names), dtype=np.int64)

    def advance(self, facts: FactColumns, first: int, end: int, equities: Array) -> list[tuple[int, Event]]:
        """Run facts `first .. end - 1`; return the events with the indices of their facts, and write `equities`."""
        events: list[tuple[int, Event]] = []
        at = first
        while at < end:
            following, count = self._call(facts, at, end, equities[at - first :])
            events += events_of(self.out[:count], self.notes[:count], self.runner.strategy, self.symbols)
            at = following
        return events

    def tripped(self) -> bool:
        """Return whether its kill switch is tripped."""
        return bool(self.state["accounts"][0]["tripped"] != 0)

    def load(self, world: EngineState) -> None:
        """Reload account, symbols, markets and contracts, after something other than a fact changed them."""
        self.contracts, self.tiers = records_of(world.contracts), _table(world.tiers)
        self.state["markets"][...] = records_of(world.markets)
        self.state["accounts"][...] = records_of([self.runner.account])
        self.state["desks"][...] = records_of(self.runner.desks)

    def is_compiled(self, facts: FactColumns) -> bool:
        """Return whether the loop needs no compilation."""
        return is_stored(self.loop, self._arguments(facts, 0, 0, np.empty(0)))

    def compile(self, facts: FactColumns) -> None:
        """Compile the loop, or load it from the disk cache."""
        self._call(facts, 0, 0, np.empty(0))

    def _call(self, facts: FactColumns, at: int, end: int, equities: Array) -> Any:
        """Call the compiled loop once; what it shares with others must be there before it is loaded."""
        assert self.loop is not None
        load_shared()
        return self.loop(*self._arguments(facts, at, end, equities))

    def _arguments(self, facts: FactColumns, at: int, end: int, equities: Array) -> tuple[Any, ...]:
        """Return the arguments of the loop, in its order."""
        s = self.state
        return (
            *(facts, self.scratch, at, end, self.room, s["markets"], s["series"], s["bars"], self.references),
            *(
                self.settlements,
                s["readings"],
                s["signals"],
                self.slots,
                self.active,
                s["desks"],
                s["states"],
                self.params,
                self.needs,
                s["accounts"],
            ),
            *(self.rules, self.contracts, self.tiers, self.answer, self.out, self.notes, equities),
        )

    def replay_arguments(self) -> tuple[Any, ...]:
        """Return the arguments of the replay loop, in its order."""
        s = self.state
        rings = (self.settlements, s["readings"], s["signals"], self.slots)
        market = (s["markets"], s["series"], s["bars"], self.references, *rings)
        return (*market, self.active, s["desks"], s["states"], self.params, s["accounts"], self.rules, self.contracts)

    def checkpoint(self) -> dict[str, Array]:
        """Return a copy of all mutable state."""
        return {name: _bytes(rows).copy() for name, rows in self._moving().items()}

    def roll_back(self, checkpoint: dict[str, Array]) -> None:
        """Restore a copied state."""
        for name, rows in self._moving().items():
            _bytes(rows)[:] = checkpoint[name]

    def _moving(self) -> dict[str, Array]:
        """Return all arrays that the loop writes to, except the decisions."""
        return self.state | {"settlements": self.settlements}

    def write_back(self, world: EngineState) -> None:
        """Write the state of the arrays into the Structs."""
        runner, s = self.runner, self.state
        runner.account = struct_of(Account, s["accounts"][0].tolist())
        runner.desks[:] = [struct_of(SymbolState, row) for row in s["desks"].tolist()]
        runner.states[:] = [struct_of(runner.strategy.state, row) for row in s["states"].tolist()]
        for one, series, bars in zip(runner.series, s["series"], s["bars"], strict=True):
            one.replace([struct_of(Series, row) for row in series.tolist()], [structs_of(Bar, rows) for rows in bars])
        runner.signals[:] = [structs_of(SignalValue, rows) for rows in s["signals"]]
        world.markets[:] = structs_of(Market, s["markets"])
        world.settlements[:] = [structs_of(Settlement, rows) for rows in self.settlements]
        world.readings[:] = [structs_of(OpenInterest, rows) for rows in s["readings"]]


def _bytes(rows: Array) -> Array:
    """Return the memory of an array, which numpy copies at once; it copies records field by field."""
    return rows.reshape(-1).view(np.uint8)


def _table(rows: list[Any]) -> Array:
    """Return lists of Structs, one per symbol, as a two-dimensional array, padded with each list's last row."""
    width = max(len(row) for row in rows)
    return np.stack([_row(row, width) for row in rows])


def _row(row: list[Any], width: int) -> Array:
    """Return one list of Structs as an array; most rings are still empty, with the same value in every row."""
    if row.count(row[0]) == len(row):
        return np.repeat(records_of(row[:1]), width)
    return records_of([*row, *[row[-1]] * (width - len(row))])
