"""The verbs that run, replay and prove: their options. What they do is imported only when they are called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from papertape.cli.commands.options import CompareOption, ConfigOption, DbOption, JsonOption

Candles = Annotated[list[str] | None, typer.Option(metavar="FILE...", help="Candle files (CSV, CSV.gz).")]
Funding = Annotated[list[str] | None, typer.Option(metavar="FILE...", help="Files of funding settlements.")]
OpenInterest = Annotated[list[str] | None, typer.Option(metavar="FILE...", help="Files of open interest.")]
Sets = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE...", help="Change single keys: risk.leverage=5.")
]
Feed = Annotated[str | None, typer.Option(metavar="sim|file|bitget", help="Which market.")]
Speed = Annotated[str | None, typer.Option(metavar="X|max", help="Market seconds a second.")]
UntilEnd = Annotated[bool, typer.Option("--until-end", help="End when the market ends.")]
NewLog = Annotated[
    bool, typer.Option("--new-log", help="Start a new log if the log file is missing; move its remains aside.")
]
Seed = Annotated[int | None, typer.Option(help="Which simulated market.")]


def run(
    config: ConfigOption = None,
    feed: Feed = None,
    candles: Candles = None,
    funding: Funding = None,
    open_interest: OpenInterest = None,
    speed: Speed = None,
    db: DbOption = None,
    until_end: UntilEnd = False,
    seed: Seed = None,
    new_log: NewLog = False,
    sets: Sets = None,
    as_json: JsonOption = False,
) -> None:
    """Watch a market, trade on paper, write every event to the log.

    SIGTERM and Ctrl-C stop it within 2 seconds. Started again, it goes on exactly where it was.
    """
    from papertape.cli.run_options import RunOptions  # noqa: PLC0415 - engines are slow to import.
    from papertape.cli.service.engine import start  # noqa: PLC0415 - likewise.

    files = (candles or [], funding or [], open_interest or [])
    start(RunOptions(config, feed, *files, speed, db, until_end, seed, sets or [], new_log), as_json=as_json)


def up(
    config: ConfigOption = None,
    feed: Feed = None,
    candles: Candles = None,
    funding: Funding = None,
    open_interest: OpenInterest = None,
    speed: Speed = None,
    db: DbOption = None,
    until_end: UntilEnd = False,
    seed: Seed = None,
    new_log: NewLog = False,
    sets: Sets = None,
    host: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Where the page is served.")] = None,
    port: Annotated[int | None, typer.Option(metavar="N", help="On which port; 0 is any free one.")] = None,
    compare: CompareOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run an engine and its page, and keep both alive.

    Each is a process of its own, started again when it died. The page stays up when the engine cannot go on, and says
    why. SIGTERM and Ctrl-C end both within 2 seconds.
    """
    from papertape.cli.run_options import RunOptions  # noqa: PLC0415 - engines are slow to import.
    from papertape.cli.service.up import run_supervised  # noqa: PLC0415 - likewise.

    files = (candles or [], funding or [], open_interest or [])
    asked = RunOptions(config, feed, *files, speed, db, until_end, seed, sets or [], new_log)
    raise typer.Exit(run_supervised(asked, host, port, compare, as_json=as_json))


def backtest(
    candles: Candles = None,
    funding: Funding = None,
    open_interest: OpenInterest = None,
    strategy: Annotated[list[str] | None, typer.Option(metavar="NAME...", help="These strategies alone.")] = None,
    sets: Sets = None,
    start: Annotated[str | None, typer.Option("--from", metavar="T", help="Candles before only warm up.")] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="T", help="Nothing is read from here on.")] = None,
    engine: Annotated[str, typer.Option(metavar="auto|python|compiled", help="Which engine.")] = "auto",
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
    db: Annotated[Path | None, typer.Option(metavar="OUT", help="Write a full log.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run strategies over recorded candles with the kernel that runs live, and show what came of it.

    T is 2025-01-31, 20250131, 2025-01-31T12:00 in UTC, or seconds (10 digits) or milliseconds (13) since 1970.
    """
    from papertape.cli.offline.backtest import BacktestOptions, show  # noqa: PLC0415 - likewise.

    files = (candles or [], funding or [], open_interest or [])
    asked = BacktestOptions(config, *files, strategy or [], sets or [], start, end, engine, trades, db, after_trip)
    show(asked, as_json=as_json)


def replay(
    db: DbOption = None,
    to: Annotated[int | None, typer.Option(metavar="SEQ", help="As of this event.")] = None,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="As of this market time, UTC.")] = None,
    digest: Annotated[bool, typer.Option("--digest", help="Print the digest of the state alone.")] = False,
    from_start: Annotated[bool, typer.Option("--from-start", help="Use no snapshot.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show accounts, positions, orders and kill switches as of an event, folded from the log again.

    Nothing is decided again (`verify` does that), so this works also after a strategy was changed.
    """
    from papertape.cli.offline.replay import show  # noqa: PLC0415 - likewise.

    show(db, config, to, at, only_digest=digest, from_start=from_start, as_json=as_json)


def verify(db: DbOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Prove a log: check its hash chain, fold it again, make every decision again and compare.

    Exit code 1 at the first difference, 5 at a damaged row.
    """
    from papertape.cli.offline.verify import prove  # noqa: PLC0415 - likewise.

    prove(db, config, as_json=as_json)
