"""Options that set an environment variable, which child processes of the command inherit."""

from __future__ import annotations

import os
from typing import Any

from typer.core import TyperCommand, TyperOption

from papertape.cli.commands.completion import complete
from papertape.cli.config.places import DATA_VARIABLE
from papertape.cli.environment.stderr_level import STDERR_VARIABLE

WITHOUT_CONFIG_OPTION = frozenset({"demo", "check", "show"})
"""Commands that read a configuration although they have no `--config` option."""


class VariableCommand(TyperCommand):
    """A command with the options common to its kind: `--data-dir` if it reads a configuration."""

    is_long = False

    def __init__(self, name: str | None, **settings: Any) -> None:
        params = list(settings.pop("params", None) or ())
        if name in WITHOUT_CONFIG_OPTION or any(param.name == "config" for param in params):
            help_text = "The folder for the log and the files beside it (default: from the configuration, or XDG's)."
            params.append(_option("--data-dir", callback=_set(DATA_VARIABLE), metavar="DIR", help=help_text))
        if self.is_long:
            loud, quiet = "Also write informational messages to stderr.", "Write only errors to stderr."
            params.append(_option("-v", "--verbose", callback=_set(STDERR_VARIABLE, "info"), is_flag=True, help=loud))
            params.append(_option("-q", "--quiet", callback=_set(STDERR_VARIABLE, "error"), is_flag=True, help=quiet))
        for param in params:
            complete(param)
        super().__init__(name, params=params, **settings)


class LongCommand(VariableCommand):
    """A command that may run for a long time, and therefore has `-v` and `-q`."""

    is_long = True


def _option(*names: str, **settings: Any) -> TyperOption:
    """Return an option that is not passed to the command's function."""
    return TyperOption(param_decls=list(names), expose_value=False, **settings)


def _set(variable: str, value: str | None = None) -> Any:
    """Return a callback that sets a variable if the option is given: to `value`, or else to the option's value."""

    def set_variable(_context: object, _option: object, given: str | bool | None) -> None:
        if given:
            os.environ[variable] = value or str(given)

    return set_variable
