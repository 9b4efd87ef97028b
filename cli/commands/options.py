"""The options that verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DbOption = Annotated[
    Path | None,
    typer.Option("--db", metavar="FILE", help="The log's file; without it engine.db of the configuration."),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="The configuration; without it ./papertape.toml or the defaults."),
]
CompareOption = Annotated[
    Path | None, typer.Option("--compare", metavar="FILE", help="Another log, shown beside this one.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change a key for this run: --set risk.leverage=5. May be repeated."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
StrategyOption = Annotated[str | None, typer.Option("--strategy", metavar="NAME", help="Only this strategy.")]
SymbolOption = Annotated[str | None, typer.Option("--symbol", metavar="SYMBOL", help="Only this symbol.")]
