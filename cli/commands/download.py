"""The verb that fetches recorded markets: its options. What it does is imported only when it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from papertape.cli.commands.options import ConfigOption, JsonOption


def download(
    symbol: Annotated[str, typer.Option(metavar="SYMBOL", help="Which perpetual, as the exchange names it.")],
    start: Annotated[str, typer.Option("--from", metavar="T", help="The first candle, UTC.")],
    end: Annotated[
        str | None, typer.Option("--to", metavar="T", help="Nothing from here on; without it all that is closed.")
    ] = None,
    timeframe: Annotated[str, typer.Option(metavar="1m|5m|15m|1h", help="The length of a candle.")] = "1m",
    kind: Annotated[
        str,
        typer.Option(
            metavar="candles|funding|mark|all",
            help="What to fetch; all writes three files. mark is for viewing, not for trading.",
        ),
    ] = "candles",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The file (.csv.gz, .csv, .parquet); without it named for you.")
    ] = None,
    exchange: Annotated[
        str, typer.Option(metavar="NAME", help="bitget, or any exchange of ccxt (extra `exchanges`).")
    ] = "bitget",
    rest_url: Annotated[
        str | None, typer.Option("--rest-url", metavar="URL", help="Another address of the exchange's REST service.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch the history of a perpetual; `backtest` and the file feed read its candles and settlements.

    Interrupted, the same command goes on where it was. At the end the file is checked, and every hole is named.
    """
    from papertape.cli.offline.download import DownloadOptions, show  # noqa: PLC0415 - clients are slow to import.

    show(DownloadOptions(symbol, start, end, timeframe, kind, out, exchange, rest_url, config), as_json=as_json)
