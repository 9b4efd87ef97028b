"""Explain a decision by the strategy's own conditions, with the parameters that were in force at its seq."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from papertape.cli.config.overrides import load_config_of_log
from papertape.cli.config.sections import strategies_of
from papertape.cli.log_reader import read_backwards
from papertape.engine.kernel.strategy import Condition, Strategy
from papertape.engine.strategy_registry import code_digest, load_strategies
from papertape.events.errors import ConfigError
from papertape.events.facts import OrderPlaced, OrderRejected, RunnerConfigured
from papertape.projections.text.causes import ConditionView as Shown
from papertape.projections.text.causes import is_entry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from papertape.events.log import Recorded
    from papertape.events.sqlite_log import SqliteLogReader
    from papertape.projections.text.causes import Explain


class Explanation(Struct, frozen=True):
    """The readings of a decision, and its conditions if its strategy states them."""

    readings: dict[str, float] = {}
    conditions: list[Condition] = []


NOTHING_DECIDED = Explanation()


class Explainer:
    """Explain orders and refused signals. `notes` lists what could not be explained, and why."""

    def __init__(self, reader: SqliteLogReader, config: Path | None) -> None:
        self._reader = reader
        self._config = config
        self._strategies: dict[str, Strategy] | None = None
        self._known: dict[int, Explanation] = {}
        self.notes: list[str] = []

    def explanation(self, recorded: Recorded) -> Explanation:
        """Return the explanation of an event; an empty one if the event is not a decision."""
        if not isinstance(recorded.event, OrderPlaced | OrderRejected):
            return NOTHING_DECIDED
        if recorded.seq not in self._known:
            event = recorded.event
            conditions = self._conditions(event, recorded.seq) if is_entry(event) else []
            self._known[recorded.seq] = Explanation(event.readings, conditions)
        return self._known[recorded.seq]

    def _conditions(self, event: OrderPlaced | OrderRejected, seq: int) -> list[Condition]:
        configured = self._in_force(event.strategy, seq)
        strategy = strategy_of(event.strategy, self._known_strategies(), configured)
        conditions, note = conditions_then(event, strategy, configured)
        if note:
            self._note(note)
        return conditions

    def _in_force(self, name: str, seq: int) -> RunnerConfigured | None:
        """Return the configuration that a strategy ran under when the event at `seq` was decided."""
        for recorded in read_backwards(self._reader, seq):
            event = recorded.event
            if isinstance(event, RunnerConfigured) and event.strategy == name:
                return event
        return None

    def _known_strategies(self) -> dict[str, Strategy]:
        """Return all strategies, or only the built-in ones if the configuration is invalid."""
        if self._strategies is None:
            try:
                self._strategies = strategies_of(load_config_of_log(self._config))
            except ConfigError as error:
                self._note(f"only built-in strategies can be explained: {error}")
                self._strategies = load_strategies()
        return self._strategies

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def strategy_of(name: str, strategies: Mapping[str, Strategy], configured: RunnerConfigured | None) -> Strategy | None:
    """Return a strategy by name, or the one whose file it ran according to the log; None if neither is installed."""
    return strategies.get(name) or strategies.get("" if configured is None else configured.of)


def conditions_then(
    event: OrderPlaced | OrderRejected, strategy: Strategy | None, configured: RunnerConfigured | None
) -> tuple[list[Condition], str]:
    """Return the conditions of an entry decision under its configuration, and a note about them or an empty text."""
    if strategy is None or configured is None:
        missing = "this strategy is not installed here" if strategy is None else "the log lacks its parameters"
        return [], f"{event.strategy}: {missing}, so its conditions are not shown"
    if strategy.explain is None:
        return [], f"{event.strategy} does not list its conditions"
    values = configured.symbol_parameters.get(event.symbol, configured.parameters)
    try:
        params = msgspec.convert(values, strategy.parameters)
        reading = msgspec.convert(event.readings, strategy.reading, strict=False)
    except msgspec.ValidationError as error:
        return [], f"{event.strategy} has changed since, so its conditions cannot be shown: {error}"
    changed = configured.code_digest != code_digest([strategy])
    note = f"{event.strategy}: its code has changed since; the conditions are those of the current code"
    return strategy.explain(reading, params, 1 if event.side == "long" else -1), note if changed else ""


def make_explainer(strategies: Mapping[str, Strategy]) -> Explain:
    """Return the function that explains entries in cause chains of the pages, the API and the chat."""

    def explain(
        event: OrderPlaced | OrderRejected, configured: RunnerConfigured | None
    ) -> tuple[tuple[Shown, ...], str]:
        conditions, note = conditions_then(event, strategy_of(event.strategy, strategies, configured), configured)
        return condition_views(conditions), note

    return explain


def condition_views(conditions: Sequence[Condition]) -> tuple[Shown, ...]:
    """Return a strategy's conditions as views."""
    return tuple(Shown(**asdict(one)) for one in conditions)
