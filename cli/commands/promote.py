"""The command that promotes a study: its options. The work is imported when it is called."""
# ruff: noqa: PLC0415 - `papertape --help` must not import what only a command needs; typer reads hints.

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from papertape.cli.commands.options import JsonOption


def promote(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="The study's name, or its file (.db).")],
    number: Annotated[
        int | None, typer.Option("--set", min=0, metavar="N", help="The set (default: that of the verdict).")
    ] = None,
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The configuration to change (default: ./papertape.toml).")
    ] = None,
    instance: Annotated[
        str | None,
        typer.Option("--as", metavar="NAME", help="The strategy of the configuration (default: the study's)."),
    ] = None,
    against_advice: Annotated[
        str, typer.Option(metavar="WHY", help="Why to promote it although the verdict is not BET; the log records it.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Let a strategy trade on paper with a study's parameters, and be told when it stops doing what they promise.

    Writes parameters, the study's digest and its promise into the strategy's section, keeps everything else in the file
    as it is, and shows the lines that changed. The promise takes effect with the next start or reload of the engine.
    """
    from papertape.cli.offline.promote import PromotionRequest
    from papertape.cli.offline.promote import promote as write

    write(PromotionRequest(study, number, to, instance, against_advice), as_json=as_json)
