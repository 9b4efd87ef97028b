"""The commands that read a log or check the installation: their options. The work is imported when they are called."""
# ruff: noqa: PLC0415 - `papertape --help` must not import what only a command needs; typer reads hints.

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from papertape.cli.arguments import TABLE_TRADES
from papertape.cli.commands.options import ConfigOption, DbOption, JsonOption, SetOption, StrategyOption, SymbolOption


def log(
    db: DbOption = None,
    types: Annotated[
        list[str] | None, typer.Option("--type", metavar="TYPE", help="Only events of this type. May be repeated.")
    ] = None,
    symbol: SymbolOption = None,
    strategy: StrategyOption = None,
    from_seq: Annotated[
        int | None,
        typer.Option("--from", min=1, metavar="SEQ", help="The first event (default: show the newest events)."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="Show at most N events.")] = 50,
    everything: Annotated[
        bool, typer.Option("--all", help="Include candles, rates, open interest and signals.")
    ] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Show new events until Ctrl-C.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the events of the log in words.

    Shows the newest events, oldest first; with --json one object per line.
    """
    from papertape.cli.log_reader import open_log
    from papertape.cli.render.events import show_log
    from papertape.projections.site.event_query import EventFilter

    with open_log(db, config) as reader:
        selection = EventFilter(frozenset(types or ()), symbol, strategy, everything)
        show_log(reader, selection, from_seq=from_seq, limit=limit, follow=follow, as_json=as_json)


def why(
    seq: Annotated[int, typer.Argument(min=1, help="The seq of a fill, an order, a trip, or any other event.")],
    db: DbOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show why an event happened.

    Shows its causes back to the candle, with the readings and conditions of every decision.
    """
    from papertape.cli.log_reader import open_log
    from papertape.cli.render.explanation import show_why

    with open_log(db, config) as reader:
        show_why(reader, seq, config, as_json=as_json)


def whynot(
    strategy: Annotated[str | None, typer.Argument(metavar="[STRATEGY]", help="The strategy (default: all).")] = None,
    symbol: SymbolOption = None,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="At a past market time, UTC, or at an event: '#4711'.")
    ] = None,
    days: Annotated[float | None, typer.Option(min=0.001, metavar="N", help="The funnel of the last N days.")] = None,
    from_text: Annotated[str | None, typer.Option("--from", metavar="TIME", help="The funnel from this time.")] = None,
    to_text: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="The funnel to this time (default: the newest candle).")
    ] = None,
    db: DbOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what keeps each strategy from an entry: its conditions with their numbers, and what else stands in the way.

    With a span it shows the funnel of entries: how often each strategy was asked, how often each condition held, how
    many signals arose, were refused, filled, cancelled or expired, and the trades.
    """
    from papertape.cli.offline.whynot import Selection, funnel_query, show_funnel, show_moment
    from papertape.events.errors import UsageError

    selection = Selection(strategy, symbol)
    query = funnel_query(selection, from_text, to_text, days)
    if query is None:
        show_moment(db, config, selection, at, as_json=as_json)
        return
    if at is not None:
        raise UsageError("use either --at for a moment, or --days, --from and --to for a span")
    show_funnel(db, config, query, as_json=as_json)


def arena(db: DbOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Rank the strategies by net return.

    Figures that rest on few trades are dim: they are counts, not verdicts.
    """
    from papertape.cli.log_reader import open_log
    from papertape.cli.render.arena import show_arena

    with open_log(db, config) as reader:
        show_arena(reader, as_json=as_json)


def trades(
    db: DbOption = None,
    strategy: StrategyOption = None,
    symbol: SymbolOption = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", min=1, metavar="N", help=f"The newest N trades (default: {TABLE_TRADES} in a table, else all)."
        ),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write a CSV file, oldest first; - is stdout.")
    ] = None,
    fills: Annotated[
        Path | None,
        typer.Option(
            "--fills", metavar="FILE", help="Write every fill, also those of open positions, oldest first; - is stdout."
        ),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the closed trades, newest first. A trade lasts from flat to flat and may have several fills."""
    from papertape.cli.log_reader import open_log
    from papertape.cli.render.trades import STDOUT, TradeFiles, TradeListOptions, show_trades

    written: list[Path] = []
    for option, path in (("--csv", csv), ("--fills", fills)):
        if path is not None and path != STDOUT:
            from papertape.cli.config.overrides import load_config_of_log
            from papertape.cli.offline.output_files import check_output, log_files

            check_output(option, path, log_files(db or load_config_of_log(config).database), written)
            written.append(path)
    with open_log(db, config) as reader:
        show_trades(reader, TradeListOptions(strategy, symbol, limit), TradeFiles(csv, fills), as_json=as_json)


def positions(db: DbOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show open positions, pending orders and kill switches."""
    from papertape.cli.log_reader import open_log
    from papertape.cli.render.positions import show_positions

    with open_log(db, config) as reader:
        show_positions(reader, as_json=as_json)


def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="The first log file.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="The second log file.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the decisions of two logs.

    Ignores seqs, starts, stops and wall-clock times. Shows both arenas and the first different decision, with its
    causes and conditions. Exits with 1 if the logs differ.
    """
    from papertape.cli.log_comparison import compare_logs

    comparison = compare_logs(a, b, config)
    if as_json:
        from papertape.cli.render.console import emit

        emit(comparison)
    else:
        from papertape.cli.render.comparison import show_comparison

        show_comparison(comparison)
    if not comparison.equal:
        raise typer.Exit(1)


def decide_diff(
    log: Annotated[Path, typer.Argument(metavar="LOG", help="The log file, or a backup.", exists=False)],
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE", help="Decide under this configuration (default: as recorded in the log)."
        ),
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE...", help="Change keys of the configuration, such as momentum.sl_percent=0.8."
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="Decide from this time on; before it, all is as recorded."),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Decide until this time (default: the newest event).")
    ] = None,
    write: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write this version's decisions; - is stdout.")
    ] = None,
    expect: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Compare with decisions that --write wrote; - is stdin."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Decide again on the inputs of a log, and list every decision that differs, with its cause.

    Candles, signals, commands and configurations are taken as recorded. The other side is what the log holds, or what
    another version wrote. Unlike `verify`, it continues after a difference, and shows both results. Exits with 6 if a
    decision differs.
    """
    from papertape.cli.render.decide_diff import show_report
    from papertape.cli.whatif.decide_again import DecideOptions, decide_again
    from papertape.events.errors import DecisionsDiffer

    report = decide_again(log, DecideOptions(config, tuple(sets or ()), start, end, write, expect))
    show_report(report, is_written=write is not None, as_json=as_json)
    if not report.equal and write is None:
        raise DecisionsDiffer(f"{report.count:,} decisions differ")


def fork(
    log: Annotated[Path, typer.Argument(metavar="LOG", help="The log file, or a backup.", exists=False)],
    at: Annotated[str, typer.Option(metavar="SEQ|TIME", help="The last event, or the market time, to keep as it is.")],
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE...", help="Change keys of the configuration from there on."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The new log (default: LOG-fork-SEQ.db beside the log).")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Go on under this configuration (default: as recorded)."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a what-if branch of a log: what another configuration would have done from a moment on.

    The new log holds the events up to that moment as recorded, then a changed configuration, then the recorded inputs
    with new decisions. It is complete: every command that reads a log opens it, but no engine continues it.
    """
    from papertape.cli.whatif.fork_log import ForkOptions, fork_log

    fork_log(log, ForkOptions(at, tuple(sets or ()), to, config), as_json=as_json)


def strategies(
    name: Annotated[
        str | None, typer.Argument(metavar="[STRATEGY]", help="The strategy to show (default: list all).")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the strategies, or show one with its parameters.

    Shows each parameter with its default, valid range, unit and meaning.
    """
    from papertape.cli.render.strategies import show_strategies

    show_strategies(name, config, as_json=as_json)


def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The strategy's file.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check that a strategy's file keeps its contract.

    Checks the source, then runs the strategy over a simulated market: both engines, a kill and a resume, no look-ahead,
    speed. Warns if the configuration lists a symbol that the strategy looks at after one that it trades. Exits with 1
    if a promise is broken.
    """
    from papertape.cli.offline.check import show_check

    if not show_check(file, config, as_json=as_json):
        raise typer.Exit(1)


def config_check(
    file: Annotated[
        Path | None, typer.Argument(help="The configuration file (default: ./papertape.toml, or the defaults).")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check a configuration.

    Shows a summary if it is valid; else shows every mistake with its line and exits with 4.
    """
    from papertape.cli.render.config import show_config

    show_config(file, as_json=as_json)


def config_show(
    file: Annotated[
        Path | None, typer.Argument(help="The configuration file (default: ./papertape.toml, or the defaults).")
    ] = None,
    changed: Annotated[bool, typer.Option("--changed", help="Show only keys that differ from their defaults.")] = False,
    sets: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the effective configuration, with the source of each value: default, file, environment or option.

    The output is itself a valid configuration file. Secrets are never shown, only where they come from.
    """
    from papertape.cli.render.config import show_settings

    show_settings(file, sets or [], only_changed=changed, as_json=as_json)


def doctor(
    db: DbOption = None,
    full: Annotated[
        bool, typer.Option("--full", help="Check the log's whole chain, not only its newest part.")
    ] = False,
    exchange: Annotated[
        bool, typer.Option("--exchange", help="Check the exchange even if the configured feed is not live.")
    ] = False,
    notify: Annotated[
        bool, typer.Option("--notify", help="Send a test message to every channel of PAPERTAPE_NOTIFY_URLS.")
    ] = False,
    sets: SetOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check the installation, the configuration, the log and, for a live feed, the exchange.

    Each line says ok, warn or fail, and what to do. Exits with 1 if a check fails.
    """
    from papertape.cli.doctor.doctor import show_findings

    if not show_findings(db, config, sets or [], exchange=exchange, notify=notify, full=full, as_json=as_json):
        raise typer.Exit(1)
