"""The command that downloads recorded markets: its options. The work is imported when it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from papertape.cli.commands.options import ConfigOption, JsonOption


def download(
    symbol: Annotated[str, typer.Option(metavar="SYMBOL", help="The perpetual, as the exchange names it.")],
    start: Annotated[str, typer.Option("--from", metavar="TIME", help="The open of the first candle, UTC.")],
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="The end, UTC (default: the newest closed candle).")
    ] = None,
    timeframe: Annotated[str, typer.Option(metavar="1m|5m|15m|1h", help="The length of a candle.")] = "1m",
    kind: Annotated[
        str,
        typer.Option(
            metavar="candles|funding|mark|all",
            help="What to download; all writes three files. Mark prices are for viewing, not for trading.",
        ),
    ] = "candles",
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The new file: .csv.gz, .csv or .parquet (default: a name with the dates)."),
    ] = None,
    exchange: Annotated[
        str, typer.Option(metavar="NAME", help="bitget, or any exchange of ccxt (needs the extra `exchanges`).")
    ] = "bitget",
    rest_url: Annotated[
        str | None, typer.Option("--rest-url", metavar="URL", help="Another address of the exchange's REST API.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Download the history of a perpetual for `backtest` and the file feed.

    If it is interrupted, the same command continues. At the end it checks the file and lists every gap.
    """
    from papertape.cli.offline.download import DownloadOptions, show  # noqa: PLC0415 - clients are slow to import.

    show(DownloadOptions(symbol, start, end, timeframe, kind, out, exchange, rest_url, config), as_json=as_json)
