"""The commands that make market files: their options. The work is imported when they are called."""
# ruff: noqa: PLC0415 - `papertape --help` must not import what only a command needs; typer reads hints.

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
    from papertape.cli.offline.download import DownloadOptions, show

    show(DownloadOptions(symbol, start, end, timeframe, kind, out, exchange, rest_url, config), as_json=as_json)


def sample(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The new folder for the files.")],
    symbol: Annotated[
        list[str] | None,
        typer.Option("--symbol", metavar="SYMBOL", help="A perpetual (default: BTCUSDT and ETHUSDT). May be repeated."),
    ] = None,
    days: Annotated[
        int, typer.Option("--days", min=1, max=3_650, metavar="N", help="How many days, from 2025-01-01 on.")
    ] = 365,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="The same seed gives the same market.")] = 7,
    as_json: JsonOption = False,
) -> None:
    """Write a simulated market as files for `backtest` and `sweep`: candles of 5 minutes, funding, open interest.

    It needs no network. Real strategies need real candles: see `download`.
    """
    from papertape.cli.offline.sample import SampleOptions, write_sample

    write_sample(SampleOptions(folder, tuple(symbol or ()), days, seed), as_json=as_json)
