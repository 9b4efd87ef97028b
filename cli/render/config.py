"""`papertape config check` and `config show`: a summary of a valid configuration, or every key with its source."""

from __future__ import annotations

import os
from itertools import groupby
from typing import TYPE_CHECKING

import msgspec
from rich.table import Table
from rich.text import Text

from papertape.cli.config.overrides import load_config
from papertape.cli.config.places import FILE_NAME
from papertape.cli.config.schema import value_text
from papertape.cli.config.sections import config_digest
from papertape.cli.config.sources import effective_settings, secret_sources
from papertape.cli.config.summary import summary_rows, warnings
from papertape.cli.doctor.doctor_channels import check_channels
from papertape.cli.environment.variables import SECRETS, check_variables
from papertape.cli.render.console import GOOD, HEADLINE, QUIET, emit, fields_of, notes, stdout
from papertape.projections.telegram.secret import variables_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from papertape.cli.config.sections import Config
    from papertape.cli.config.sources import Setting

PRECEDENCE = "an option wins over a variable, a variable over the file, the file over the default"
VALUE_COLUMN = 34
"""The column in which the source of a short value is printed."""


def show_config(file: Path | None, *, as_json: bool) -> None:
    """Print the summary. Raise ConfigError with every mistake: by line in the file, by name for a variable."""
    config = load_config(file)
    check_variables(config, os.environ)
    check_channels(config.folder)
    if as_json:
        emit({"valid": True, "digest": config_digest(config), **fields_of(config), "warnings": list(warnings(config))})
        return
    console = stdout()
    console.print(Text.assemble(("ok ", GOOD), (_source(config), HEADLINE), f", digest {config_digest(config)}"))
    grid = Table.grid(padding=(0, 2))
    for name, text in summary_rows(config, str(config.database)):
        grid.add_row(Text(f"  {name}"), Text(text))
    console.print(grid)
    notes(console, [f"! {warning}" for warning in warnings(config)])


def _source(config: Config) -> str:
    return config.file or f"no {FILE_NAME} here, using the defaults"


def show_settings(file: Path | None, sets: Sequence[str], *, only_changed: bool, as_json: bool) -> None:
    """Print the effective configuration as TOML, each key with its source; secrets are never shown."""
    config, settings = effective_settings(file, sets)
    shown = [one for one in settings if not (one.is_default and only_changed)]
    secrets = secret_sources(variables_of(os.environ, config.folder / ".env", SECRETS), os.environ, SECRETS)
    if as_json:
        places = {"file": config.file, "data_folder": config.data_folder, "log": str(config.database)}
        emit({**places, "settings": shown, "secrets": secrets})
        return
    console = stdout()
    for line in (
        f"{_source(config)}; the log: {config.database}",
        PRECEDENCE,
        "the variable of web.port: PAPERTAPE_WEB__PORT",
    ):
        _comment(console, line)
    for table, group in groupby(shown, lambda one: one.key.rpartition(".")[0]):
        console.print(Text(f"\n[{table}]", style=HEADLINE), soft_wrap=True)
        for setting in group:
            console.print(_line(setting), soft_wrap=True)
    console.print()
    for name, source in secrets.items():
        _comment(console, f"{name}: {source}")


def _comment(console: Console, text: str) -> None:
    console.print(Text(f"# {text}", style=QUIET), soft_wrap=True)


def _line(setting: Setting) -> Text:
    name, value = setting.key.rpartition(".")[2], setting.value
    written = value_text(value) if isinstance(value, int | float) else msgspec.json.encode(value).decode()
    source = setting.source if not setting.place else f"{setting.source}: {setting.place}"
    is_default = setting.source == "default"
    return Text.assemble(f"{name} = {written}".ljust(VALUE_COLUMN), (f"  # {source}", QUIET if is_default else GOOD))
