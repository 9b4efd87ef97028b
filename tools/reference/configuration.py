"""The page of all configuration keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.cli.config.loader import schema
from papertape.cli.config.schema import ConfigKey, ConfigTable, range_text, value_text
from papertape.engine.strategy_registry import load_strategies
from tools.reference.markdown import NOTE, joined, table

if TYPE_CHECKING:
    from collections.abc import Iterator


def page() -> str:
    """Return the page of all keys, by section, with default and valid range."""
    lines = [
        "# Configuration",
        "",
        NOTE,
        "",
        "The configuration is `papertape.toml` in the current folder, or `--config FILE`. Every key has a default; an",
        "unknown key or a value outside its range is an error with name and line. `--set section.key=value` changes a",
        "key for one run. Secrets are never in this file: they come from the environment, from `.env` beside the file,",
        "or from files (`NAME_FILE`).",
    ]
    for name, keys in _tables(schema(load_strategies()), ()):
        lines += ["", f"## `[{name}]`", "", *_keys(keys)]
    return joined(lines)


def _tables(table: ConfigTable, path: tuple[str, ...]) -> Iterator[tuple[str, ConfigTable]]:
    """Yield the tables with keys, in order. A strategy's own risk settings are described under `[risk]`."""
    own: dict[str, ConfigKey | ConfigTable] = {
        name: node for name, node in table.keys.items() if isinstance(node, ConfigKey)
    }
    if path and (own or table.rest is not None):
        yield ".".join(path), ConfigTable(own, table.noun, table.rest)
    for name, node in table.keys.items():
        if isinstance(node, ConfigTable) and not (path[:1] == ("strategies",) and name == "risk"):
            yield from _tables(node, (*path, name))


def _keys(keys: ConfigTable) -> list[str]:
    rows: list[tuple[str, ...]] = [("key", "default", "valid", "meaning")]
    for name, key in keys.keys.items():
        if isinstance(key, ConfigKey):
            rows.append((f"`{name}`", f"`{value_text(key.default)}`", range_text(key), key.meaning))
    if isinstance(keys.rest, ConfigKey):
        rows.append(("any symbol", f"`{value_text(keys.rest.default)}`", range_text(keys.rest), keys.rest.meaning))
    return table(rows)
