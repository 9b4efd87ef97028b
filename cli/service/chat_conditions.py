"""The entry conditions of every strategy for the chat, read from the log and never from the running engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from papertape.cli.service.page_inspector import STATES_FOLDER, conditions_view
from papertape.cli.wiring import warn
from papertape.engine.inspect.checkpoints import StateCheckpoints, states_file
from papertape.engine.inspect.entry_conditions import EntryConditions, entry_conditions
from papertape.engine.inspect.state_history import StateHistory
from papertape.engine.strategy_registry import code_digest
from papertape.events.beside import sibling_path
from papertape.events.checkpoints.store import CheckpointStore
from papertape.events.log_thread import LogThread
from papertape.events.snapshots import SnapshotStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.reducer.state import EngineState
    from papertape.events.log import LogReader
    from papertape.projections.site.ports import ConditionsView

SHOWN_HOLDS = ("max_positions", "correlation", "own")
"""The reasons that hold a strategy back and that the chat's own text does not already contain."""


class ChatConditions:
    """`projections.telegram.explain.Conditions`: follow the log on request, in a thread. Close it at the end."""

    def __init__(self, db: Path, open_reader: Callable[[], LogReader], strategies: Mapping[str, Strategy]) -> None:
        self._thread = LogThread(open_reader)
        snapshots = SnapshotStore(sibling_path(db, ".snapshots"), lambda _: None, only_looks=True)
        file = states_file(sibling_path(db, ".folds") / STATES_FOLDER, code_digest(strategies.values()))
        # The page's process writes the file. Without it, what a question needs is kept in memory.
        states = CheckpointStore(file, warn, only_reads=True) if file.exists() else None
        self._history = StateHistory(self._thread, strategies, snapshots, StateCheckpoints(states))

    async def __call__(self, seq: int, symbol: str) -> tuple[ConditionsView, ...]:
        """Return both sides of every strategy that trades a symbol. Raise what `StateHistory.query` raises."""

        def read_conditions(world: EngineState) -> list[tuple[str, EntryConditions]]:
            index = world.symbols.get(symbol)
            if index is None:
                return []  # It is configured, but not listed yet.
            names = [runner.strategy.name for runner in world.runners if runner.active[index]]
            return [(name, one) for name in names for one in entry_conditions(world, name, symbol)]

        sides = await self._history.query(seq, read_conditions)
        return tuple(conditions_view(_with_shown_holds(one), name, symbol, seq) for name, one in sides)

    def close(self) -> None:
        """Close the log. Closing twice is harmless."""
        self._thread.close()


def _with_shown_holds(one: EntryConditions) -> EntryConditions:
    return replace(one, holds=tuple(hold for hold in one.holds if hold.reason in SHOWN_HOLDS))
