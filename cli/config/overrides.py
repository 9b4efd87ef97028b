"""Load the configuration, with single keys set for one run by `--set KEY=VALUE` and checked like the file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from papertape.cli.config.loader import config_of, plain, read_config, schema, strategies_in
from papertape.cli.config.schema import PLURAL, ConfigKey, ConfigTable, Node, range_text
from papertape.cli.config.sections import FILE_NAME, Config
from papertape.cli.config.toml_lines import split_key
from papertape.cli.config.unusable import require_usable
from papertape.cli.config.validation import ConfigProblem, error_of, unknown_key_text
from papertape.events.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.cli.config.toml_lines import Path as TomlPath

Tree = dict[str, Any]


def load_config(path: str | Path | None = None, sets: Sequence[str] = ()) -> Config:
    """Return the configuration like `load_config_of_log`; raise ConfigError also for strategies that cannot run."""
    return require_usable(load_config_of_log(path, sets))


def load_config_of_log(path: str | Path | None = None, sets: Sequence[str] = ()) -> Config:
    """Return the configuration at `path`, with `--set` changes applied, for what works with an existing log.

    Strategies that cannot run are named in it: a log can be read, and an engine goes on with it, without their files.

    Without a path it is `./papertape.toml` if that exists, else the defaults. Raise ConfigError with the file, line,
    key, value and valid range of every mistake, or UsageError for a `--set` that is not KEY=VALUE.
    """
    if path is None and not Path(FILE_NAME).exists():
        config = Config()
    else:
        config = read_config(Path(FILE_NAME if path is None else path))
    return apply_sets(config, sets) if sets else config


def apply_sets(config: Config, sets: Sequence[str]) -> Config:
    """Return the configuration with single keys changed: `momentum.breakout_lookback=30`, `risk.leverage=5`.

    Raise UsageError for a text that is not KEY=VALUE, ConfigError for an unknown key or an invalid value.
    """
    tree, file = tree_of(config), Path(config.file) if config.file else None
    places: dict[TomlPath, str] = {}
    for one in sets:
        full, value = _parse_set(one, tree, file)
        _put(tree, full, value)
        places[full] = f"--set {one}"
    changed = config_of(tree, file, lambda problem: places.get(plain(problem.path), " ".join(places.values())))
    return msgspec.structs.replace(changed, unusable=changed.unusable | config.unusable)


def parse_sets(config: Config, sets: Sequence[str]) -> dict[tuple[str, ...], Any]:
    """Return the values of `--set` by their full paths, as `apply_sets` takes them; their ranges are not checked."""
    tree, file = tree_of(config), Path(config.file) if config.file else None
    return dict(_parse_set(one, tree, file) for one in sets)


def _parse_set(one: str, tree: Tree, file: Path | None) -> tuple[tuple[str, ...], object]:
    """Return the full path and the value of one `KEY=VALUE`."""
    key, equals, text = one.partition("=")
    path, where = split_key(key), f"--set {one}"
    if not equals or not path or "".join(key.split()) != key:
        raise UsageError(f"{where}: must be KEY=VALUE, as in --set momentum.breakout_lookback=30")
    full, node = _resolved(path, schema(strategies_in(tree, file)), where)
    return full, _value(text, node, full, where)


def tree_of(config: Config) -> Tree:
    """Return a configuration as the tree of its file."""
    tree: Tree = msgspec.to_builtins(config)
    del tree["file"], tree["unusable"]
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
