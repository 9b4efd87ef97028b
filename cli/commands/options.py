"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DbOption = Annotated[
    Path | None,
    typer.Option("--db", metavar="FILE", help="The log file (default: engine.db of the configuration)."),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="The configuration file (default: ./papertape.toml, or the defaults)."
    ),
]
CompareOption = Annotated[
    Path | None, typer.Option("--compare", metavar="FILE", help="Another log to compare with on the page.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE...", help="Set configuration keys for this run, such as risk.leverage=5."),
]
HostOption = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="The page's address (default: web.host of the configuration).")
]
PortOption = Annotated[
    int | None,
    typer.Option(metavar="N", help="The page's port; 0 picks a free one (default: web.port of the configuration)."),
]
WhoOption = Annotated[str, typer.Option(help="Who decides this (default: the user of this machine).")]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
StrategyOption = Annotated[str | None, typer.Option("--strategy", metavar="NAME", help="Only this strategy.")]
SymbolOption = Annotated[str | None, typer.Option("--symbol", metavar="SYMBOL", help="Only this symbol.")]
StartOption = Annotated[
    str | None,
    typer.Option("--from", metavar="TIME", help="The start of trading, UTC; earlier candles only warm up."),
]
EndOption = Annotated[
    str | None, typer.Option("--to", metavar="TIME", help="The end, UTC (default: the end of the data).")
]
EngineOption = Annotated[
    str, typer.Option(metavar="auto|python|compiled", help="How to compute; every choice gives the same result.")
]
