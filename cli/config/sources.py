"""Every key of the effective configuration with the source of its value, for `papertape config show`."""

from __future__ import annotations

import os
import tomllib
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from papertape.cli.config.config_variables import keys_of, variable_of
from papertape.cli.config.loader import read_text, schema, strategies_in
from papertape.cli.config.overrides import apply_changes, config_of_file, set_changes, tree_of, variable_changes
from papertape.cli.config.schema import ConfigKey, ConfigTable
from papertape.cli.config.toml_lines import locate_keys
from papertape.projections.telegram.secret import FILE_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from papertape.cli.config.overrides import Tree
    from papertape.cli.config.sections import Config
    from papertape.cli.config.toml_lines import Path as TomlPath

Source = Literal["default", "file", "environment", "option"]
HIDDEN = "(hidden)"
OPTIONAL_KEYS = frozenset({"only_symbols", "of", "study", "promise"})
"""Keys of a strategy's section that are listed only if they are set."""


class Setting(Struct, frozen=True):
    """A key, its value, where the value comes from, and the variable that sets it."""

    key: str
    value: Any
    source: Source
    place: str
    variable: str
    is_default: bool
    """Whether the value equals the default, wherever it was set."""


def effective_settings(named: Path | None, sets: Sequence[str]) -> tuple[Config, list[Setting]]:
    """Return the configuration, and all its keys by section. Raise ConfigError or UsageError."""
    base = config_of_file(named)
    from_environment, from_options = variable_changes(base, os.environ), set_changes(base, sets)
    config = apply_changes(base, [*from_environment, *from_options])
    places: dict[TomlPath, tuple[Source, str]] = dict(_places_in_file(base))
    places |= {change.path: ("environment", change.place) for change in from_environment}
    places |= {change.path: ("option", change.place) for change in from_options}
    tree = tree_of(config)
    known = schema(strategies_in(tree, Path(config.file) if config.file else None))
    return config, [_setting(path, key, value, places) for path, key, value in _keys(known, tree)]


def _setting(path: TomlPath, key: ConfigKey, value: object, places: Mapping[TomlPath, tuple[Source, str]]) -> Setting:
    source, place = places.get(path, ("default", ""))
    shown = HIDDEN if key.is_secret and value else value
    is_default = list(value) == list(key.default) if isinstance(value, list | tuple) else value == key.default
    return Setting(".".join(path), shown, source, place, variable_of(path), is_default)


def _places_in_file(config: Config) -> Iterator[tuple[TomlPath, tuple[Source, str]]]:
    if not config.file:
        return
    text = read_text(Path(config.file))
    lines = locate_keys(text)
    for path in _leaves(tomllib.loads(text)):
        yield path, ("file", f"{config.file}:{lines.line_of(path)}")


def _leaves(tree: Tree, path: TomlPath = ()) -> Iterator[TomlPath]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name)


def _keys(known: ConfigTable, tree: Tree) -> Iterator[tuple[TomlPath, ConfigKey, object]]:
    """Yield every key of the schema with its value; the overrides of one strategy or symbol only if there are any."""
    given = list(_leaves(tree))
    named = dict(keys_of(known))
    listed = [path for path in named if path in given or not _is_optional(path)]
    tables: dict[TomlPath, dict[TomlPath, None]] = {}
    for path in (*listed, *given):
        tables.setdefault(path[:-1], {})[path] = None
    for path in chain.from_iterable(tables.values()):
        key = named.get(path) or _key_at(known, path)
        if key is not None:
            yield path, key, _value_at(tree, path, key.default)


def _is_optional(path: TomlPath) -> bool:
    if path[0] != "strategies" or len(path) < 3:
        return False
    return len(path) > 3 or path[-1] in OPTIONAL_KEYS


def _key_at(known: ConfigTable, path: TomlPath) -> ConfigKey | None:
    node: ConfigTable | ConfigKey | None = known
    for name in path:
        node = node.at(name) if isinstance(node, ConfigTable) else None
    return node if isinstance(node, ConfigKey) else None


def _value_at(tree: Tree, path: TomlPath, default: object) -> object:
    node: Any = tree
    for name in path:
        if not isinstance(node, dict) or name not in node:
            return default
        node = node[name]
    return node


def secret_sources(
    variables: Mapping[str, str], environment: Mapping[str, str], names: Sequence[str]
) -> dict[str, str]:
    """Return for each secret where it comes from, in words, and never its value."""
    return {name: _source_of_secret(variables, environment, name) for name in names}


def _source_of_secret(variables: Mapping[str, str], environment: Mapping[str, str], name: str) -> str:
    for variable in (name, name + FILE_SUFFIX):
        if variables.get(variable):
            what = "set" if variable == name else f"in the file that {variable} names, set"
            return f"{what} in the environment" if environment.get(variable) else f"{what} in .env"
    return "not set"
