"""The commands of the page: `ui`, `token` and `mcp`. The work is imported when they are called."""
# ruff: noqa: PLC0415 - a server and an engine's parts are slow to import.

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from papertape.cli.commands.options import CompareOption, ConfigOption, HostOption, PortOption, SetOption
from papertape.events.errors import UsageError

DbsOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--db",
        metavar="FILE",
        help="The log file (default: engine.db of the configuration). Repeat it to see several engines in one view.",
    ),
]


def ui(
    db: DbsOption = None,
    host: HostOption = None,
    port: PortOption = None,
    compare: CompareOption = None,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Serve the pages and the API of a log, of a running engine or of a backtest.

    It only reads the log, so it may start and stop beside an engine. SIGTERM and Ctrl-C end it within 2 seconds.
    """
    from papertape.cli.service.page import show

    show(db or [], config, sets or [], host, port, compare)


def token() -> None:
    """Generate a token of 32 random bytes for PAPERTAPE_TOKEN."""
    from papertape.api.token import new_token

    typer.echo(new_token())


def mcp(
    url: Annotated[str, typer.Option(metavar="URL", help="The page to ask.")] = "http://127.0.0.1:8700",
) -> None:
    """Let an assistant ask a running page, over the Model Context Protocol on standard input and output. It only reads.

    If reading needs the token, it is taken from PAPERTAPE_TOKEN, in the environment or in .env.
    """
    if find_spec("mcp") is None:
        raise UsageError("this needs the package mcp: pip install 'papertape[mcp]'")
    from papertape.cli.service.assistant import serve

    serve(url)
