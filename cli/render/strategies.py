"""`papertape strategies`: list the strategies, or show one with its parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from rich.text import Text

from papertape.cli.config.overrides import load_config_of_log
from papertape.cli.config.schema import ConfigKey, number_text, range_text, table_of
from papertape.cli.config.sections import enabled_names, strategies_of
from papertape.cli.log_reader import require_known
from papertape.cli.render.console import HEADLINE, Column, emit, notes, plain, print_table, stdout
from papertape.engine.kernel.strategy import Strategy
from papertape.projections.site.ports import StrategyView
from papertape.projections.text.formats import introduced

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.console import Console


def show_strategies(name: str | None, config: Path | None, *, as_json: bool) -> None:
    """List all strategies, or show one. Raise UsageError for an unknown name, or ConfigError."""
    loaded = load_config_of_log(config)
    strategies = strategies_of(loaded)
    require_known(name, strategies, "strategy")
    if as_json:
        emit([_fields(one) for one in strategies.values()] if name is None else _fields(strategies[name]))
    elif name is None:
        enabled = enabled_names(loaded)
        _list(stdout(), list(strategies.values()), set(strategies) if enabled is None else set(enabled))
    else:
        _detail(stdout(), strategies[name])


def _fields(strategy: Strategy) -> dict[str, Any]:
    return {
        "name": strategy.name,
        "of": strategy.of,
        "references": dict(strategy.references),
        "about": strategy.about,
        "series": strategy.series,
        "needs_bars": strategy.needs_bars,
        "needs_filter_bars": strategy.needs_filter_bars,
        "exit_reasons": strategy.exit_reasons,
        "plot": dict(strategy.plot),
        "parameters": [_parameter(name, key) for name, key in _keys(strategy)],
        "parameters_schema": parameters_schema(strategy),
    }


def parameters_schema(strategy: Strategy) -> dict[str, Any]:
    """Return the JSON schema of a strategy's parameters: types, ranges, defaults, meanings and units."""
    _, schemas = msgspec.json.schema_components((strategy.parameters,), ref_template="{name}")
    schema: dict[str, Any] = schemas[strategy.parameters.__name__]
    for parameter, key in _keys(strategy):
        schema["properties"][parameter]["unit"] = key.unit
    return schema


def strategy_views(strategies: Mapping[str, Strategy]) -> tuple[StrategyView, ...]:
    """Return the strategies as the pages show them."""
    return tuple(
        StrategyView(one.name, one.about, one.series, parameters_schema(one), dict(one.plot))
        for one in strategies.values()
    )


def _keys(strategy: Strategy) -> list[tuple[str, ConfigKey]]:
    return [(name, key) for name, key in table_of(strategy.parameters).keys.items() if isinstance(key, ConfigKey)]


def _parameter(name: str, key: ConfigKey) -> dict[str, Any]:
    bounds = {"ge": key.ge, "gt": key.gt, "le": key.le, "lt": key.lt}
    kind = "int" if key.kind == "whole number" else "float"
    return {"name": name, "type": kind, "default": key.default, **bounds, "unit": key.unit, "meaning": key.meaning}


def _needs(strategy: Strategy) -> str:
    """Return the candles that a strategy needs under its default parameters."""
    first, *others = strategy.series
    candles, filter_candles = strategy.candles_needed(strategy.parameters())
    return ", ".join([f"{candles} x {first}", *(f"{filter_candles} x {other}" for other in others)])


def _list(console: Console, strategies: Sequence[Strategy], enabled: set[str]) -> None:
    columns = [
        Column("strategy", plain(introduced(s.name, s.of) for s in strategies), justify="left"),
        Column("enabled", plain("yes" if s.name in enabled else "no" for s in strategies), rank=2, justify="left"),
        Column("timeframe", plain(s.series[0] for s in strategies)),
        Column("needs candles", plain(_needs(s) for s in strategies), rank=1, justify="left"),
        Column("about", plain(s.about.partition("\n")[0] for s in strategies), justify="left", wraps=True),
    ]
    notes(console, [print_table(columns, console), "papertape strategies NAME shows one with its parameters"])


def _detail(console: Console, strategy: Strategy) -> None:
    console.print(Text(introduced(strategy.name, strategy.of), style=HEADLINE))
    for paragraph in strategy.about.split("\n\n"):
        console.print(Text(" ".join(paragraph.split())))
    keys = _keys(strategy)
    columns = [
        Column("parameter", plain(name for name, _ in keys), justify="left"),
        Column("default", plain(number_text(key.default) for _, key in keys)),
        Column("valid", plain(range_text(key) for _, key in keys), justify="left"),
        Column("meaning", plain(key.meaning for _, key in keys), justify="left", wraps=True),
    ]
    print_table(columns, console)
    own = f", and for its own reasons: {', '.join(strategy.exit_reasons)}" if strategy.exit_reasons else ""
    example = f"--set {strategy.name}.{keys[0][0]}={number_text(keys[0][1].default)}" if keys else ""
    looks_at = [f"looks at {symbol} as {key}" for key, symbol in strategy.references]
    notes(console, [*looks_at, f"needs {_needs(strategy)} complete candles", f"exits at stop or target{own}", example])
