"""The commands of the page: `ui` and `token`. The work is imported when they are called."""
# ruff: noqa: PLC0415 - a server and an engine's parts are slow to import.

from __future__ import annotations

import typer

from papertape.cli.commands.options import CompareOption, ConfigOption, DbOption, HostOption, PortOption, SetOption


def ui(
    db: DbOption = None,
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

    show(db, config, sets or [], host, port, compare)


def token() -> None:
    """Generate a token of 32 random bytes for PAPERTAPE_TOKEN."""
    from papertape.api.token import new_token

    typer.echo(new_token())
