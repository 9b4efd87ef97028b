"""The page of all commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer.main

from papertape.cli.app import EXIT_CODES, app
from tools.reference.markdown import NOTE, joined, plain, table

if TYPE_CHECKING:
    from collections.abc import Iterator


def page() -> str:
    """Return the page of all commands with their options and an example, as in `--help`."""
    lines = ["# The command line", "", NOTE, "", f"{EXIT_CODES}.", "", "Every command has `--help`."]
    group: Any = typer.main.get_command(app)
    for path, command in _commands(group, ("papertape",)):
        lines += ["", f"## `{' '.join(path)}`", "", *_command(command, path)]
    return joined(lines)


def _commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, below in getattr(command, "commands", {}).items():
        if hasattr(below, "commands"):
            yield from _commands(below, (*path, name))
        else:
            yield (*path, name), below


def _command(command: Any, path: tuple[str, ...]) -> list[str]:
    lines = [plain(command.help)]
    rows = [
        (f"`{_argument_text(one)}`", _default(one), plain(getattr(one, "help", "") or "")) for one in command.params
    ]
    if rows:
        lines += ["", *table([("argument", "default", "meaning"), *rows])]
    example = plain(command.epilog or "").removeprefix("Example: ")
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
