"""The commands for the first minutes: `demo` and `init`. Their implementations are imported when they are called."""
# ruff: noqa: PLC0415 - `papertape --help` must not import what only a command needs; typer reads hints.

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from papertape.cli.commands.options import HostOption, JsonOption, PortOption


def demo(host: HostOption = None, port: PortOption = None, as_json: JsonOption = False) -> None:
    """Watch four strategies trade a simulated market, on a page of your own.

    It needs no network and no configuration. The printed address logs your browser in, once. Ctrl-C ends it; the next
    demo resumes where it stopped. Its log is in the data folder: --data-dir, or else $XDG_DATA_HOME/papertape.
    """
    from papertape.cli.service.demo import run_demo

    raise typer.Exit(run_demo(host, port, as_json=as_json))


def init(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="The folder (default: this one).")] = Path(),
    as_json: JsonOption = False,
) -> None:
    """Create a folder of your own: a commented configuration, .env with fresh tokens, and a first strategy.

    It overwrites nothing, and tells you what to run next.
    """
    from papertape.cli.offline.new_project import make_project

    make_project(folder, as_json=as_json)
