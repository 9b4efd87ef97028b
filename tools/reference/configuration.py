"""The page of all configuration keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.cli.config.config_variables import BETWEEN, PREFIX
from papertape.cli.config.loader import schema
from papertape.cli.config.schema import ConfigKey, ConfigTable, range_text, value_text
from papertape.engine.strategy_registry import load_strategies
from tools.reference.markdown import NOTE, joined, table

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCES = (
    "Every key has a default; an unknown key or a value out of range is an error that names the key and its place. A",
    "value comes from the first of these that sets it; `papertape config show` prints every key with its",
    "value and source.",
    "",
    "1. An option: `--set web.port=8081`, or a dedicated one such as `--port`.",
    "2. A variable, in the environment or in `.env` beside the file: `PAPERTAPE_WEB__PORT=8081`. The name is",
    "   `PAPERTAPE_` and the key in capitals, with two underscores for each dot. Lists are separated by commas.",
    "3. The configuration file: `--config FILE`, else `PAPERTAPE_CONFIG`, else `papertape.toml` in the current folder,",
    "   else `$XDG_CONFIG_HOME/papertape/papertape.toml` (`~/.config`).",
    "4. The default.",
    "",
    "Paths in a file are relative to its folder. `--data-dir DIR` or `PAPERTAPE_DATA_DIR` moves the log and everything",
    "beside it: that folder replaces `data`, and `logs` moves into it. Without a file in the current folder the",
    "data folder is `$XDG_DATA_HOME/papertape` (`~/.local/share`). `--db FILE` names one log directly.",
    "",
    "Compiled strategies are kept beside the installed package, or in `$XDG_CACHE_HOME/numba` if that",
    "is read-only.",
    "",
    "Secrets are never in the file: they come from the environment, from `.env`, or from files (`NAME_FILE`).",
)


def page() -> str:
    """Return the page of all keys, by section, with default and valid range."""
    lines = [
        "# Configuration",
        "",
        NOTE,
        "",
        *SOURCES,
    ]
    for name, keys in _tables(schema(load_strategies()), ()):
        variable = f"{PREFIX}{BETWEEN.join([*name.split('.'), 'KEY'])}".upper()
        lines += ["", f"## `[{name}]`", "", f"Variables: `{variable}`", "", *_keys(keys)]
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
        name = f"any {'symbol' if keys.noun == 'key' else keys.noun}"
        rows.append((name, f"`{value_text(keys.rest.default)}`", range_text(keys.rest), keys.rest.meaning))
    return table(rows)
