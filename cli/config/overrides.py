"""Load the configuration. Variables and `--set KEY=VALUE` override single keys, and are checked like the file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from papertape.cli.config.config_variables import find_key, is_key, prefixed_variables, refuse_unknown
from papertape.cli.config.loader import config_of, plain, read_config, schema, strategies_in
from papertape.cli.config.places import find_places
from papertape.cli.config.schema import PLURAL, ConfigKey, ConfigTable, Node, range_text
from papertape.cli.config.sections import Config
from papertape.cli.config.toml_lines import split_key
from papertape.cli.config.unusable import require_usable
from papertape.cli.config.validation import ConfigProblem, error_of, unknown_key_text
from papertape.events.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from papertape.cli.config.toml_lines import Path as TomlPath

Tree = dict[str, Any]


def load_config(path: str | Path | None = None, sets: Sequence[str] = ()) -> Config:
    """Return the configuration like `load_config_of_log`; raise ConfigError also for strategies that cannot run."""
    return require_usable(load_config_of_log(path, sets))


def load_config_of_log(path: str | Path | None = None, sets: Sequence[str] = ()) -> Config:
    """Return the configuration at `path`, with variables and then `--set` applied, for what works with an existing log.

    Strategies that cannot run are named in it: a log can be read, and an engine goes on with it, without their files.

    Without a path it is the file that `find_places` finds, else the defaults. Raise ConfigError with the file, line,
    key, value and valid range of every mistake, or UsageError for a `--set` that is not KEY=VALUE.
    """
    config = config_of_file(None if path is None else Path(path))
    changes = [*variable_changes(config, os.environ), *set_changes(config, sets)]
    return apply_changes(config, changes) if changes else config


def config_of_file(named: Path | None) -> Config:
    """Return the configuration of the file alone, and where its data are. Raise ConfigError."""
    places = find_places(named)
    config = Config() if places.file is None else read_config(places.file)
    return msgspec.structs.replace(config, data_folder=places.data_folder)


class Change(Struct, frozen=True):
    """A key that is set outside the file: its full path, its value, and where it was set."""

    path: TomlPath
    value: object
    place: str


def variable_changes(config: Config, environment: Mapping[str, str]) -> list[Change]:
    """Return what the environment and `.env` set. Raise ConfigError for an unknown name or a value of another type."""
    variables = prefixed_variables(environment, config.folder / ".env")
    if not variables:
        return []
    known = _known_keys(config)
    refuse_unknown(variables, known)
    changes = []
    for name, (text, place) in variables.items():
        if is_key(name) and (found := find_key(name, known)) is not None:
            path, key = found
            changes.append(Change(path, _value(text, key, path, place), place))
    return changes


def set_changes(config: Config, sets: Sequence[str]) -> list[Change]:
    """Return what `--set` sets; the ranges of the values are not checked. Raise UsageError or ConfigError."""
    known = _known_keys(config) if sets else ConfigTable({})
    return [Change(*_parse_set(one, known), f"--set {one}") for one in sets]


def apply_sets(config: Config, sets: Sequence[str]) -> Config:
    """Return the configuration with single keys changed: `momentum.breakout_lookback=30`, `risk.leverage=5`.

    Raise UsageError for a text that is not KEY=VALUE, ConfigError for an unknown key or an invalid value.
    """
    return apply_changes(config, set_changes(config, sets))


def apply_changes(config: Config, changes: Sequence[Change]) -> Config:
    """Return the configuration with the changes, the later ones over the earlier. Raise ConfigError."""
    tree, file = tree_of(config), Path(config.file) if config.file else None
    for change in changes:
        _put(tree, change.path, change.value)
    places = {change.path: change.place for change in changes}
    changed = config_of(tree, file, lambda problem: places.get(plain(problem.path), " ".join(places.values())))
    unusable = changed.unusable | config.unusable
    return msgspec.structs.replace(changed, unusable=unusable, data_folder=config.data_folder)


def _known_keys(config: Config) -> ConfigTable:
    return schema(strategies_in(tree_of(config), Path(config.file) if config.file else None))


def parse_sets(config: Config, sets: Sequence[str]) -> dict[tuple[str, ...], Any]:
    """Return the values of `--set` by their full paths, as `apply_sets` takes them; their ranges are not checked."""
    return {change.path: change.value for change in set_changes(config, sets)}


def _parse_set(one: str, known: ConfigTable) -> tuple[tuple[str, ...], object]:
    """Return the full path and the value of one `KEY=VALUE`."""
    key, equals, text = one.partition("=")
    path, where = split_key(key), f"--set {one}"
    if not equals or not path or "".join(key.split()) != key:
        raise UsageError(f"{where}: must be KEY=VALUE, as in --set momentum.breakout_lookback=30")
    full, node = _resolved(path, known, where)
    return full, _value(text, node, full, where)


def tree_of(config: Config) -> Tree:
    """Return a configuration as the tree of its file."""
    tree: Tree = msgspec.to_builtins(config)
    del tree["file"], tree["unusable"], tree["data_folder"]
    for name, section in tree["strategies"].pop("by_name").items():
        tree["strategies"][name] = {**section.pop("parameters"), **section.pop("references"), **section}
        for key in ("of", "study", "promise"):
            if not section[key]:
                del tree["strategies"][name][key]
    return tree


def _resolved(path: tuple[str, ...], known: ConfigTable, where: str) -> tuple[tuple[str, ...], ConfigKey]:
    """Return the full path of a key, and the key. `strategies.` before a strategy's name may be omitted."""
    named = known.keys["strategies"]
    sections = list(known.keys)
    full = path
    if path[0] not in sections and isinstance(named, ConfigTable):
        names = [name for name, node in named.keys.items() if isinstance(node, ConfigTable)]
        if path[0] not in names:
            raise error_of(
                [ConfigProblem(path, unknown_key_text(path[0], [*sections, *names], "key"))], lambda _: where
            )
        full = ("strategies", *path)
    node: Node | None = known
    for depth, name in enumerate(full):
        table = node
        node = table.at(name) if isinstance(table, ConfigTable) else None
        if node is None:
            text = unknown_key_text(name, table.keys, table.noun) if isinstance(table, ConfigTable) else "has no keys"
            raise error_of([ConfigProblem(full[: depth + 1], text)], lambda _: where)
    if not isinstance(node, ConfigKey):
        raise error_of([ConfigProblem(full, "is a table, not a key")], lambda _: where)
    return full, node


def _put(tree: Tree, path: tuple[str, ...], value: object) -> None:
    *tables, key = path
    for name in tables:
        tree = tree.setdefault(name, {})
    tree[key] = value


def _value(text: str, key: ConfigKey, path: tuple[str, ...], where: str) -> object:
    """Parse the text as the key's type."""
    try:
        match key.kind:
            case "whole number":
                return int(text)
            case "number":
                return float(text)
            case "list":
                return [item.strip() for item in text.split(",") if item.strip()]
            case _:
                return text
    except ValueError:
        problem = ConfigProblem(path, f'= "{text}": must be {PLURAL[key.kind]}, {range_text(key)}')
        raise error_of([problem], lambda _: where) from None
