"""The page of the built-in strategies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.cli.config.schema import ConfigKey, number_text, range_text, table_of
from papertape.engine.strategy_registry import load_strategies
from tools.reference.markdown import NOTE, joined, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from papertape.engine.kernel.strategy import Strategy


def page() -> str:
    """Return the page of the built-in strategies, with their parameters."""
    lines = [
        "# Built-in strategies",
        "",
        NOTE,
        "",
        "These four run unless `[strategies]` says otherwise. Each is one file and a good starting point for",
        "[one of your own](../strategies.md). A parameter is set in the configuration under",
        "`[strategies.NAME]`, or for one run by `--set NAME.parameter=value`.",
    ]
    for strategy in load_strategies().values():
        lines += ["", f"## {strategy.name}", "", *_about(strategy), "", *_parameters(strategy)]
    return joined(lines)


def _about(strategy: Strategy) -> Iterator[str]:
    yield strategy.about
    yield ""
    first, *others = strategy.series
    candles, filter_candles = strategy.candles_needed(strategy.parameters())
    needed = ", ".join([f"{candles} of {first}", *(f"{filter_candles} of {other}" for other in others)])
    own = f", or for its own reasons: {', '.join(strategy.exit_reasons)}" if strategy.exit_reasons else ""
    yield f"It decides at each {first} close. Warm-up, in complete candles: {needed}."
    yield f"It exits at its stop or target{own}."


def _parameters(strategy: Strategy) -> list[str]:
    rows = [
        (f"`{name}`", f"`{number_text(key.default)}`", range_text(key), key.meaning)
        for name, key in table_of(strategy.parameters).keys.items()
        if isinstance(key, ConfigKey)
    ]
    return table([("parameter", "default", "valid", "meaning"), *rows])
