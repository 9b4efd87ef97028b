"""The verb `twin`: stand-ins of exchanges on this machine. The work is imported when it is asked for."""

from __future__ import annotations

from typing import Annotated

import typer


def bitget(
    port: Annotated[int, typer.Option(metavar="N", help="The port; 0 is any free one.", min=0, max=65_535)] = 8_701,
    host: Annotated[str, typer.Option(help="The address.")] = "127.0.0.1",
    speed: Annotated[float, typer.Option(metavar="X", help="Market seconds a second.")] = 1.0,
    symbols: Annotated[list[str] | None, typer.Option(metavar="NAME...", help="What is traded there.")] = None,
    candles: Annotated[
        list[str] | None, typer.Option(metavar="FILE...", help="Serve recorded candles, moved to now.")
    ] = None,
    faults: Annotated[int | None, typer.Option(metavar="SEED", help="Misbehave, in a way the seed decides.")] = None,
    seed: Annotated[int, typer.Option(help="Which simulated market.")] = 7,
) -> None:
    """Serve a stand-in of Bitget's public market on this machine, to try the live feed without the internet.

    It speaks the exchange's protocol and keeps its limits. Point the engine to the addresses it prints.
    """
    from papertape.cli.twins.bitget import serve_bitget  # noqa: PLC0415 - its server is imported only here.

    serve_bitget(port, host, speed, symbols or [], candles or [], faults, seed)


def telegram(
    port: Annotated[int, typer.Option(metavar="N", help="The port; 0 is any free one.", min=0, max=65_535)] = 8_702,
    host: Annotated[str, typer.Option(help="The address.")] = "127.0.0.1",
) -> None:
    """Serve a stand-in of Telegram's Bot API on this machine, and print what it receives."""
    from papertape.cli.twins.telegram import serve_telegram  # noqa: PLC0415 - likewise.

    serve_telegram(port, host)
