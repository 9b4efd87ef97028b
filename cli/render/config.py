"""`papertape config check`: a summary of a valid configuration."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from papertape.cli.config.overrides import load_config
from papertape.cli.config.sections import FILE_NAME, config_digest
from papertape.cli.config.summary import summary_rows, warnings
from papertape.cli.environment.variables import check_variables
from papertape.cli.offline.doctor_channels import check_channels
from papertape.cli.render.console import GOOD, HEADLINE, emit, fields_of, notes, stdout

if TYPE_CHECKING:
    from pathlib import Path


def show_config(file: Path | None, *, as_json: bool) -> None:
    """Print the summary. Raise ConfigError with every mistake: in the file with its line, of a variable by name."""
    config = load_config(file)
    check_variables(config, os.environ)
    check_channels(config.folder)
    if as_json:
        emit({"valid": True, "digest": config_digest(config), **fields_of(config), "warnings": list(warnings(config))})
        return
    console = stdout()
    source = config.file or f"no {FILE_NAME} here, using the defaults"
    console.print(Text.assemble(("ok ", GOOD), (source, HEADLINE), f", digest {config_digest(config)}"))
    grid = Table.grid(padding=(0, 2))
    for name, text in summary_rows(config, str(config.database)):
        grid.add_row(Text(f"  {name}"), Text(text))
    console.print(grid)
    notes(console, [f"! {warning}" for warning in warnings(config)])
