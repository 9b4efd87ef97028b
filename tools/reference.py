"""Write the reference pages from the code: every configuration key, every command, every event.

`make docs` writes them into docs/reference; a test fails if they differ from the code.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer.main
from msgspec.structs import fields

from papertape.cli.app import EXIT_CODES, app
from papertape.cli.config.config_variables import BETWEEN, PREFIX
from papertape.cli.config.loader import schema
from papertape.cli.config.schema import ConfigKey, ConfigTable, range_text, value_text
from papertape.engine.strategy_registry import load_strategies
from papertape.events.facts import EVENT_TYPES, type_name

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference"
NOTE = "<!-- Written by tools/reference.py from the code: change it there, then `make docs`. -->"
SOURCES = (
    "Every key has a default; an unknown key or a value outside its range is an error with name and place. A",
    "value comes from the first of these that has it; `papertape config show` prints every key with both.",
    "",
    "1. An option: `--set web.port=8081`, or one of its own such as `--port`.",
    "2. A variable, in the environment or in `.env` beside the file: `PAPERTAPE_WEB__PORT=8081`. The name is",
    "   `PAPERTAPE_` and the key in capitals, with two underscores for each dot. Lists are written with commas.",
    "3. The configuration file: `--config FILE`, else `PAPERTAPE_CONFIG`, else `papertape.toml` in the current folder,",
    "   else `$XDG_CONFIG_HOME/papertape/papertape.toml` (`~/.config`).",
    "4. The default.",
    "",
    "Paths in a file are relative to its folder. `--data-dir DIR` or `PAPERTAPE_DATA_DIR` moves the log and everything",
    "beside it: that folder takes the place of `data`, and `logs` lies in it. Without a file in the current folder the",
    "data folder is `$XDG_DATA_HOME/papertape` (`~/.local/share`). `--db FILE` names one log directly.",
    "",
    "Secrets are never in the file: they come from the environment, from `.env`, or from files (`NAME_FILE`).",
)
STYLE = re.compile(r"\[/?[a-z ]+\]")


def pages() -> dict[str, str]:
    """Return every page by its name."""
    return {"configuration.md": configuration(), "cli.md": commands(), "events.md": events()}


# ---------------------------------------------------------------- configuration


def configuration() -> str:
    """Return the page of all keys, by section, with default and valid range."""
    lines = [
        "# Configuration",
        "",
        NOTE,
        "",
        *SOURCES,
    ]
    for name, table in _tables(schema(load_strategies()), ()):
        variable = f"{PREFIX}{BETWEEN.join([*name.split('.'), 'KEY'])}".upper()
        lines += ["", f"## `[{name}]`", "", f"Variables: `{variable}`", "", *_keys(table)]
    return _joined(lines)


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


def _keys(table: ConfigTable) -> list[str]:
    rows: list[tuple[str, ...]] = [("key", "default", "valid", "meaning")]
    for name, key in table.keys.items():
        if isinstance(key, ConfigKey):
            rows.append((f"`{name}`", f"`{value_text(key.default)}`", range_text(key), key.meaning))
    if isinstance(table.rest, ConfigKey):
        rows.append(
            (
                f"any {'symbol' if table.noun == 'key' else table.noun}",
                f"`{value_text(table.rest.default)}`",
                range_text(table.rest),
                table.rest.meaning,
            )
        )
    return _table(rows)


# ---------------------------------------------------------------- commands


def commands() -> str:
    """Return the page of all commands with their options and an example, as in `--help`."""
    lines = ["# The command line", "", NOTE, "", f"{EXIT_CODES}.", "", "Every command has `--help`."]
    group: Any = typer.main.get_command(app)
    for path, command in _commands(group, ("papertape",)):
        lines += ["", f"## `{' '.join(path)}`", "", *_command(command, path)]
    return _joined(lines)


def _commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, below in getattr(command, "commands", {}).items():
        if hasattr(below, "commands"):
            yield from _commands(below, (*path, name))
        else:
            yield (*path, name), below


def _command(command: Any, path: tuple[str, ...]) -> list[str]:
    lines = [_plain(command.help)]
    rows = [
        (f"`{_argument_text(one)}`", _default(one), _plain(getattr(one, "help", "") or "")) for one in command.params
    ]
    if rows:
        lines += ["", *_table([("argument", "default", "meaning"), *rows])]
    example = _plain(command.epilog or "").removeprefix("Example: ")
    return [*lines, "", "```sh", example or " ".join(path), "```"]


def _argument_text(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    names = "/".join([*parameter.opts, *parameter.secondary_opts])
    return names if parameter.is_flag else f"{names} {parameter.metavar or 'N'}"


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    default = parameter.default
    return "" if default in (None, False, "", ()) or callable(default) else f"`{default}`"


# ---------------------------------------------------------------- events


def events() -> str:
    """Return the page of all events with their fields and types."""
    lines = [
        "# Events",
        "",
        NOTE,
        "",
        "The log consists of these events. Each also has `seq`, `recorded_at_ms` and `cause`, the seq of the event",
        "that caused it. Names include units.",
    ]
    for kind in sorted(EVENT_TYPES, key=type_name):
        tag = kind.__struct_config__.tag
        lines += ["", f"## {type_name(kind)}", "", f"`{tag}`", "", inspect.cleandoc(kind.__doc__ or ""), ""]
        lines += _table([("field", "type"), *[(f"`{one.name}`", f"`{_type(one.type)}`") for one in fields(kind)]])
    return _joined(lines)


def _type(kind: Any) -> str:
    return (
        kind.__name__ if inspect.isclass(kind) and not hasattr(kind, "__args__") else str(kind).replace("typing.", "")
    )


# ---------------------------------------------------------------- Markdown


def _plain(text: str) -> str:
    return STYLE.sub("", inspect.cleandoc(text))


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return [
        f"| {' | '.join(cells[0])} |",
        f"|{' --- |' * len(cells[0])}",
        *[f"| {' | '.join(row)} |" for row in cells[1:]],
    ]


def _joined(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        sys.stdout.write(f"docs/reference/{name}\n")
