"""The commands that run, replay and verify: their options. The work is imported when they are called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from papertape.cli.commands.options import (
    CompareOption,
    ConfigOption,
    DbOption,
    EndOption,
    EngineOption,
    HostOption,
    JsonOption,
    PortOption,
    SetOption,
    StartOption,
)

Candles = Annotated[
    list[str] | None, typer.Option(metavar="FILE...", help="Candle files (.csv, .csv.gz), also as SYMBOL=FILE.")
]
Funding = Annotated[list[str] | None, typer.Option(metavar="FILE...", help="Files of funding settlements.")]
OpenInterest = Annotated[list[str] | None, typer.Option(metavar="FILE...", help="Files of open interest.")]
Signals = Annotated[
    list[str] | None, typer.Option(metavar="FILE...", help="Files of signals (time_ms,symbol,name,value).")
]
Feed = Annotated[
    str | None,
    typer.Option(
        metavar="sim|file|bitget|ccxt:EXCHANGE|live",
        help="A simulated, recorded or live market (default: feed.kind); live: the configured live one, or bitget.",
    ),
]
Speed = Annotated[
    str | None,
    typer.Option(metavar="X|max", help="Market seconds per second; max is as fast as possible (default: feed.speed)."),
]
UntilEnd = Annotated[bool, typer.Option("--until-end", help="Exit when the market ends.")]
NewLog = Annotated[
    bool, typer.Option("--new-log", help="Start a new log if the log file is missing; move its remains aside.")
]
Seed = Annotated[
    int | None, typer.Option(metavar="N", help="The seed of the simulated market (default: feed.sim.seed).")
]

LogOption = Annotated[
    Path | None, typer.Option("--log", metavar="FILE", help="Run over the market in this log instead of files.")
]
LogSymbolOption = Annotated[
    list[str] | None, typer.Option("--symbol", metavar="SYMBOL...", help="Only these symbols of the log.")
]


def run(
    config: ConfigOption = None,
    feed: Feed = None,
    candles: Candles = None,
    funding: Funding = None,
    open_interest: OpenInterest = None,
    signals: Signals = None,
    speed: Speed = None,
    db: DbOption = None,
    until_end: UntilEnd = False,
    seed: Seed = None,
    new_log: NewLog = False,
    fills: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv", help="Write every fill, also those of open positions, when the recorded market ends."
        ),
    ] = None,
    sets: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Watch a market, trade on paper, and write every event to the log.

    SIGTERM and Ctrl-C stop it within 2 seconds. When it is started again, it continues exactly where it stopped.
    """
    from papertape.cli.run_options import RunOptions  # noqa: PLC0415 - engines are slow to import.
    from papertape.cli.service.engine import start  # noqa: PLC0415 - likewise.

    files = (candles or [], funding or [], open_interest or [])
    options = RunOptions(config, feed, *files, speed, db, until_end, seed, sets or [], new_log, signals or [], fills)
    start(options, as_json=as_json)


def up(
    config: ConfigOption = None,
    feed: Feed = None,
    candles: Candles = None,
    funding: Funding = None,
    open_interest: OpenInterest = None,
    signals: Signals = None,
    speed: Speed = None,
    db: DbOption = None,
    until_end: UntilEnd = False,
    seed: Seed = None,
    new_log: NewLog = False,
    sets: SetOption = None,
    host: HostOption = None,
    port: PortOption = None,
    compare: CompareOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run an engine and its page, and keep both running.

    Each is a process that is restarted if it dies. If the engine cannot continue, the page stays up and says why.
    SIGTERM and Ctrl-C stop both within 2 seconds.
    """
    from papertape.cli.run_options import RunOptions  # noqa: PLC0415 - engines are slow to import.
    from papertape.cli.service.up import run_supervised  # noqa: PLC0415 - likewise.

    files = (candles or [], funding or [], open_interest or [])
    options = RunOptions(config, feed, *files, speed, db, until_end, seed, sets or [], new_log, signals or [])
    raise typer.Exit(run_supervised(options, host, port, compare, as_json=as_json))


def backtest(
    candles: Candles = None,
    funding: Funding = None,
    open_interest: OpenInterest = None,
    signals: Signals = None,
    log: LogOption = None,
    symbol: LogSymbolOption = None,
    strategy: Annotated[list[str] | None, typer.Option(metavar="NAME...", help="Only these strategies.")] = None,
    sets: SetOption = None,
    start: StartOption = None,
    end: EndOption = None,
    engine: EngineOption = "auto",
    after_trip: Annotated[
        str,
        typer.Option(
            metavar="stop|continue", help="After a kill switch trips: stay stopped, or reset it at the next UTC day."
        ),
    ] = "stop",
    trades: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="Write the closed trades; open positions go to FILE.open.csv."),
    ] = None,
    fills: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Write every fill, also those of open positions.")
    ] = None,
    db: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a complete log, which other commands can read.")
    ] = None,
    funnel: Annotated[
        bool, typer.Option("--funnel", help="Show how often each strategy was asked, and each condition held.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run strategies over recorded candles with the kernel of the live engine, and show the results.

    The candles come from files, or with --log from an event log, which an engine may be writing at the same time.
    TIME is 2025-01-31, 20250131, 2025-01-31T12:00 in UTC, or seconds (10 digits) or milliseconds (13) since 1970.
    """
    from papertape.cli.offline.backtest import BacktestOptions, show  # noqa: PLC0415 - likewise.

    files = (candles or [], funding or [], open_interest or [])
    options = BacktestOptions(
        *(config, *files, strategy or [], sets or [], start, end, engine, trades, db, after_trip, funnel, fills),
        signals=signals or [],
        log=log,
        symbols=symbol or [],
    )
    show(options, as_json=as_json)


def replay(
    db: DbOption = None,
    to: Annotated[int | None, typer.Option(metavar="SEQ", help="As of this event (default: the newest).")] = None,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="As of this market time, UTC.")] = None,
    digest: Annotated[bool, typer.Option("--digest", help="Show only the digest of the state.")] = False,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Fold from the first event, without a snapshot.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show accounts, positions, orders and kill switches as of an event, folded again from the log.

    It makes no decision again (`verify` does), so it also works after a strategy has changed.
    """
    from papertape.cli.offline.replay import show  # noqa: PLC0415 - likewise.

    show(db, config, to, at, only_digest=digest, from_start=from_start, as_json=as_json)


def verify(
    full: Annotated[
        bool, typer.Option("--full", help="Begin with the first event, even if a part was verified before.")
    ] = False,
    db: DbOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Verify a log: check its hash chain, fold it again, make every decision again and compare.

    Remembers how far this version and these strategies got, and continues there the next time. Exits with 1 at the
    first difference, with 5 at a damaged row.
    """
    from papertape.cli.offline.verify import prove  # noqa: PLC0415 - likewise.

    prove(db, config, full=full, as_json=as_json)
