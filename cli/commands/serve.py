"""The verbs of the page: `ui` and `token`. What they do is imported when they are called."""
# ruff: noqa: PLC0415 - a server and an engine's parts are slow to import.

from __future__ import annotations

from typing import Annotated

import typer

from papertape.cli.commands.options import CompareOption, ConfigOption, DbOption, SetOption


def ui(
    db: DbOption = None,
    host: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Where it listens; without it web.host of the configuration.")
    ] = None,
    port: Annotated[int | None, typer.Option(metavar="N", help="On which port; 0 is any free one.")] = None,
    compare: CompareOption = None,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Serve the pages and the API of a log: a running engine's, or a backtest's.

    The log is only read, so this may come and go beside an engine. SIGTERM and Ctrl-C end it within 2 seconds.
    """
    from papertape.cli.service.page import show

    show(db, config, sets or [], host, port, compare)


def token() -> None:
    """Print a fresh token of 32 random bytes, for PAPERTAPE_TOKEN."""
    from papertape.api.token import new_token

    typer.echo(new_token())
