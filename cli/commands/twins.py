"""The commands `twin bitget` and `twin telegram`: their options. The work is imported when they are called."""

from __future__ import annotations

from typing import Annotated

import typer

TwinPort = Annotated[int, typer.Option(metavar="N", help="The port; 0 picks a free one.", min=0, max=65_535)]
TwinHost = Annotated[str, typer.Option(metavar="ADDRESS", help="The address to listen on.")]


def bitget(
    port: TwinPort = 8_701,
    host: TwinHost = "127.0.0.1",
    speed: Annotated[float, typer.Option(metavar="X", help="Market seconds per second.")] = 1.0,
    symbols: Annotated[
        list[str] | None, typer.Option(metavar="SYMBOL...", help="The symbols (default: those of the Bitget feed).")
    ] = None,
    candles: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE...", help="Serve recorded candles, shifted to now, instead of a simulated market."),
    ] = None,
    faults: Annotated[
        int | None, typer.Option(metavar="SEED", help="Inject faults; the seed decides which and when.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="The seed of the simulated market.")] = 7,
) -> None:
    """Serve a local stand-in for Bitget's public market, to try the live feed without the internet.

    It speaks the exchange's protocol and enforces its limits. Point the engine to the addresses that it prints.
    """
    from papertape.cli.twins.bitget import serve_bitget  # noqa: PLC0415 - its server is imported only here.

    serve_bitget(port, host, speed, symbols or [], candles or [], faults, seed)


def telegram(
    port: TwinPort = 8_702,
    host: TwinHost = "127.0.0.1",
) -> None:
    """Serve a local stand-in for Telegram's Bot API, and print the messages that it receives."""
    from papertape.cli.twins.telegram import serve_telegram  # noqa: PLC0415 - likewise.

    serve_telegram(port, host)
