"""The commands of research: their options. The work is imported when they are called."""
# ruff: noqa: PLC0415 - `papertape --help` must not import what only a command needs; typer reads hints.

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from papertape.cli.commands.options import (
    ConfigOption,
    EndOption,
    EngineOption,
    JsonOption,
    SetOption,
    StartOption,
    StrategyOption,
)
from papertape.cli.commands.run import Candles, Funding, LogOption, LogSymbolOption, OpenInterest, Signals

StudyArgument = Annotated[str, typer.Argument(metavar="STUDY", help="The name of the study.")]
JobsOption = Annotated[
    int | None, typer.Option(min=1, max=1_024, metavar="N", help="Processes of this machine (default: its cores).")
]
SchedulerOption = Annotated[
    str | None, typer.Option(metavar="tcp://HOST:PORT", help="Run on the workers of this Dask scheduler.")
]


def sweep(
    vary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUES", help="A parameter and its values: FIRST:LAST:STEP, FIRST:LAST~COUNT, 1.5,2,3 or *."
        ),
    ] = None,
    link: Annotated[
        list[str] | None,
        typer.Option(metavar="'NAME = EXPR'", help="A parameter that follows others: 'tp_percent = 2 * sl_percent'."),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="'A > B'", help="Only sets that meet this condition. May be repeated."),
    ] = None,
    draw: Annotated[
        int | None, typer.Option(metavar="N", help="Draw this many sets, spread evenly, instead of all of them.")
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="The random seed of the draw (default: 0).")] = None,
    space: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.toml",
            help="Take the space from the study section of this file (default: that of the configuration).",
        ),
    ] = None,
    candles: Candles = None,
    funding: Funding = None,
    open_interest: OpenInterest = None,
    signals: Signals = None,
    log: LogOption = None,
    symbol: LogSymbolOption = None,
    strategy: Annotated[
        str | None, typer.Option(metavar="NAME", help="The strategy (default: the only enabled one).")
    ] = None,
    sets: SetOption = None,
    start: StartOption = None,
    end: EndOption = None,
    study: Annotated[
        str | None, typer.Option(metavar="NAME", help="The study's name (default: strategy and date).")
    ] = None,
    engine: EngineOption = "auto",
    jobs: JobsOption = None,
    scheduler: SchedulerOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try many sets of parameters over recorded candles, walk forward, and say whether the strategy deserves money.

    Every set is run over the whole period and over training and test windows. Results are stored as they are computed:
    the same command resumes after Ctrl-C. Exits with 0 for BET and BET SMALL, with 1 for CANNOT SAY and NO.
    """
    from papertape.cli.studies.market import MarketOptions
    from papertape.cli.studies.session import RunningOptions
    from papertape.cli.studies.space_file import TypedSpace
    from papertape.cli.studies.sweep import SweepOptions
    from papertape.cli.studies.sweep import sweep as run

    files = (candles or [], funding or [], open_interest or [], signals or [])
    market = MarketOptions(config, *files, strategy, sets or [], start, end, engine, log, tuple(symbol or ()))
    typed = TypedSpace(tuple(vary or ()), tuple(link or ()), tuple(where or ()), draw, seed, space)
    run(SweepOptions(market, typed, study, RunningOptions(jobs, scheduler, as_json)))


def walkforward(
    study: StudyArgument,
    train: Annotated[
        str | None, typer.Option(metavar="DURATION", help="The length of the training window, such as 90d or 12w.")
    ] = None,
    test: Annotated[
        str | None, typer.Option(metavar="DURATION", help="The length of the test window, such as 30d.")
    ] = None,
    embargo: Annotated[
        str | None, typer.Option(metavar="DURATION", help="The pause between training and test, such as 1d.")
    ] = None,
    anchored: Annotated[
        bool, typer.Option("--anchored", help="Start every training window at the first candle.")
    ] = False,
    matrix: Annotated[
        str | None,
        typer.Option(metavar="'60d,90d x 15d,30d'", help="Walk forward with these other lengths too."),
    ] = None,
    engine: EngineOption = "auto",
    jobs: JobsOption = None,
    scheduler: SchedulerOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Walk a study forward with other windows, and conclude anew.

    In each fold the best set of the training window is traded in the test that follows. Space, data and settings
    are those of the study; only windows that it does not have yet are run. Exits like `sweep`.
    """
    from papertape.cli.studies.session import RunningOptions
    from papertape.cli.studies.walkforward import WindowOptions, walk_forward

    lengths = WindowOptions(train, test, embargo, anchored, matrix)
    walk_forward(study, lengths, config, engine, RunningOptions(jobs, scheduler, as_json))


def study_list(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the studies beside the log, the newest first."""
    from papertape.cli.studies.study_files import list_studies

    list_studies(config, as_json=as_json)


def study_show(study: StudyArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show the verdict of a study with its gates, costs and folds."""
    from papertape.cli.studies.study_files import show_study

    show_study(study, config, as_json=as_json)


def study_verify(
    study: StudyArgument, engine: EngineOption = "auto", config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Run one set in a hundred again, fact by fact, and compare every figure.

    Exits with 1 if one differs.
    """
    from papertape.cli.studies.study_files import verify_study

    verify_study(study, config, engine, as_json=as_json)


def study_backtest(
    study: StudyArgument,
    number: Annotated[
        int | None, typer.Option("--set", min=0, metavar="NUMBER", help="The set (default: the chosen one).")
    ] = None,
    db: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The new log (default: STUDY.backtest.db beside the study).")
    ] = None,
    engine: EngineOption = "auto",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Record a backtest of one set, with every order, fill and reason.

    It runs over the study's own data; the log can be read by every command and page.
    """
    from papertape.cli.studies.set_backtest import backtest_set

    backtest_set(study, number, db, config, engine, as_json=as_json)


def study_export(
    study: StudyArgument,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The new file: .csv or .parquet.")],
    config: ConfigOption = None,
) -> None:
    """Export the parameters and figures of every set over every window."""
    from papertape.cli.studies.study_files import export_study

    export_study(study, out, config)


def study_forget(study: StudyArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Delete the file of a study. Its sets still count as tried."""
    from papertape.cli.studies.study_files import forget_study

    forget_study(study, config, as_json=as_json)


def report(
    subject: Annotated[str, typer.Argument(metavar="DB|STUDY", help="A log, or the name or file of a study.")],
    html: Annotated[Path, typer.Option("--html", metavar="FILE", help="The page to write; it must not exist yet.")],
    strategy: StrategyOption = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="The seed of the Monte Carlo.")] = 0,
    redraws: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, max=1_000, help="Run the strategies again over this many markets with redrawn candles."
        ),
    ] = 0,
    config: ConfigOption = None,
) -> None:
    """Write one HTML page about a log or a study: figures, curves, months, costs, luck and trades.

    The page needs no network and no script: keep it, print it, or send it. The log may be one that an engine is
    writing, or that `backtest --db` wrote.
    """
    from papertape.cli.offline.report import ReportOptions, write_report

    write_report(ReportOptions(subject, html, strategy, seed, config, redraws))
