"""The configuration under which a log is decided again: the recorded one, with keys changed, or that of a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from papertape.cli.config.overrides import apply_sets, load_config, load_config_of_log, parse_sets
from papertape.cli.config.sections import config_digest, strategies_of
from papertape.cli.log_reader import check_names
from papertape.cli.wiring import make_runners, warn, watched_symbols
from papertape.engine.startup import EngineSettings, configuration_changes
from papertape.engine.strategy_registry import code_digest
from papertape.events.errors import ConfigError, UsageError
from papertape.events.facts import ContractListed, Event, RunnerConfigured
from papertape.events.units import MINUTE_MS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.engine.reducer.state import EngineState
    from papertape.events.sqlite_log import SqliteLogReader

FIXED: Final = ("of", "study", "promise")
"""The keys of a strategy's section that cannot be changed in a log."""
ALLOWED: Final = "only parameters, symbols and limits of strategies, and [risk], can be changed for a recorded log"


class ChangedSettings:
    """The strategies to decide with, and what takes the place of a recorded configuration.

    Without a file the recorded configuration applies, with the keys of `sets` changed; a risk key changes the limits of
    every strategy. With a file its configuration applies, for the symbols of the log.
    """

    def __init__(self, path: Path | None, sets: Sequence[str], reader: SqliteLogReader) -> None:
        """Read the configuration. Raise UsageError or ConfigError for a key that is unknown, or not of this log."""
        base = load_config_of_log() if path is None else load_config(path)
        config = apply_sets(base, sets) if sets else base
        self.lines = (*(() if path is None else (f"configuration {path}",)), *sets)
        self.digest = config_digest(config)
        self.strategies = strategies_of(config)
        self._symbols: dict[str, None] = {}
        self._file: EngineSettings | None = None
        self._watched = watched_symbols(config)
        self._values = parse_sets(base, sets) if path is None else {}
        for key in self._values:
            self._check(key, reader)
            if fault := config.unusable.keys() - base.unusable.keys():
                raise ConfigError(config.unusable[fault.pop()])
        if path is not None:
            listed = (one.event for one in reader.read(0) if isinstance(one.event, ContractListed))
            base_ms = next((event.timeframe_ms for event in listed), MINUTE_MS)
            runners = make_runners(config, self.strategies, base_ms, warn)
            self._file = EngineSettings(Path(), "", self.strategies, runners, unusable=config.unusable)

    @staticmethod
    def _check(path: tuple[str, ...], reader: SqliteLogReader) -> None:
        match path:
            case ("risk", _):
                pass
            case ("strategies", name, key, *_) if key not in FIXED:
                check_names(reader, None, name)
            case _:
                raise UsageError(f"--set {'.'.join(path)}: {ALLOWED}")

    def reconfigure(self, state: EngineState, event: Event) -> list[Event]:
        """Return what takes the place of a configuration, or of a pause or resume by the configuration."""
        if self._file is not None:
            return self._of_file(self._file, state, event)
        if not isinstance(event, RunnerConfigured) or not self._values:
            return [event]
        changed = event
        for path in sorted(self._values, key=lambda path: path[0] != "risk"):
            changed = _with_key(changed, path, self._values[path])
        known = {one.strategy.name: one.configured.risk["capital_usdt"] for one in state.runners}
        if changed.risk["capital_usdt"] != known.get(event.strategy, changed.risk["capital_usdt"]):
            raise ConfigError(
                f"{event.strategy} has already started with its capital; another capital needs a log of its own"
            )
        if changed != event and event.strategy in self.strategies:
            changed = replace(changed, code_digest=code_digest([self.strategies[event.strategy]]))
        return [changed]

    def _of_file(self, settings: EngineSettings, state: EngineState, event: Event) -> list[Event]:
        if not isinstance(event, RunnerConfigured):
            return []
        self._symbols.update(dict.fromkeys([*state.symbols, *event.symbols]))
        symbols = tuple(name for name in self._symbols if name in self._watched) or tuple(self._symbols)
        return configuration_changes(state, settings, (), symbols, event.at_ms)


def _with_key(event: RunnerConfigured, path: tuple[str, ...], value: Any) -> RunnerConfigured:
    """Return a configuration with one key changed, if the key concerns its strategy.

    A symbol's own value of a parameter stays, as in a configuration file.
    """
    match path:
        case ("risk", key) | ("strategies", event.strategy, "risk", key):
            return replace(event, risk={**event.risk, key: value})
        case ("strategies", event.strategy, "only_symbols"):
            return replace(event, symbols=tuple(value) or event.symbols)
        case ("strategies", event.strategy, "symbols", symbol, key):
            own = {**event.symbol_parameters.get(symbol, event.parameters), key: value}
            return replace(event, symbol_parameters={**event.symbol_parameters, symbol: own})
        case ("strategies", event.strategy, key) if key in event.parameters:
            before = event.parameters[key]
            by_symbol = {
                symbol: {**own, key: value} if own.get(key) == before else own
                for symbol, own in event.symbol_parameters.items()
            }
            return replace(event, parameters={**event.parameters, key: value}, symbol_parameters=by_symbol)
        case ("strategies", event.strategy, key):
            return replace(event, references={**event.references, key: value})
        case _:
            return event
