"""`papertape backtest`: the configured strategies over recorded candles, at research speed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from papertape.cli.arguments import moment_ms
from papertape.cli.config.sections import load_config, strategies_of
from papertape.cli.environment.tasks import run_tasks
from papertape.cli.offline.backtest_trades import open_path, write_trades
from papertape.cli.offline.output_files import check_output, log_files, read_files, whole_log
from papertape.cli.progress import progress_bar
from papertape.cli.render.console import emit
from papertape.cli.service.log_admission import ANOTHER, admit_log
from papertape.cli.wiring import check_period, file_feed, make_runners, report_files, warn, with_files
from papertape.engine.ports.clock import SystemClock
from papertape.engine.research.backtest import Backtest, import_ahead
from papertape.engine.research.backtest import backtest as run_backtest
from papertape.engine.research.excerpt import excerpt
from papertape.engine.startup import make_folder
from papertape.events.errors import UsageError
from papertape.events.log import Recorded
from papertape.projections.folds.coverage import Coverage, CoverageView, DataView
from papertape.projections.folds.performance import Performance, TradeFigures, performance, trade_figures
from papertape.projections.folds.portfolio import OrderView, Portfolio, PositionView
from papertape.projections.folds.trades import Trades
from papertape.projections.host import fold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.cli.config.sections import Config
    from papertape.engine.feeds.files.csv_reader import QuickReader
    from papertape.engine.feeds.files.feed import FileFeed
    from papertape.engine.reducer.state import Runner
    from papertape.engine.research.equity_curve import EquitySummary

SPARKLINE_POINTS = 60


class StrategyResult(Struct, frozen=True):
    """One strategy: its measures, those of its closed trades by symbol, and what stopped it, if anything did.

    Open positions are marked at their symbols' last close. Seqs are 0, as there is no log.
    """

    strategy: str
    stopped: str
    coverage: CoverageView
    performance: Performance
    by_symbol: dict[str, TradeFigures]
    open_positions: tuple[PositionView, ...]
    pending_orders: tuple[OrderView, ...]
    sparkline: tuple[float, ...]


class BacktestResult(Struct, frozen=True):
    """The figures of a backtest. A requested limit is None where the files' own range applies.

    `resets` counts the trips that `--after-trip continue` reset, the global ones too.
    """

    engine: str
    facts: int
    seconds: float
    symbols: tuple[str, ...]
    refused_rows: int
    requested_from_ms: int | None
    requested_until_ms: int | None
    data: tuple[DataView, ...]
    resets: int
    strategies: tuple[StrategyResult, ...]


class FinalState(Struct, frozen=True):
    """The state at the end of a run, folded from its excerpt."""

    portfolio: Portfolio
    trades: Trades
    coverage: Coverage


class BacktestOptions(Struct, frozen=True):
    """What the command line says."""

    config: Path | None
    candles: list[str]
    funding: list[str]
    open_interest: list[str]
    strategy: list[str]
    sets: list[str]
    start: str | None
    end: str | None
    engine: str
    trades: Path | None
    db: Path | None
    after_trip: str = "stop"


def show(asked: BacktestOptions, *, as_json: bool) -> None:
    """Run the strategies over the files and show what came of it."""
    if asked.db is not None and asked.db.exists():
        raise UsageError(f"--db {asked.db}: there is a file already; a backtest writes a log of its own")
    config = _configured(asked)
    if asked.db is not None:
        admit_log(asked.db, config, way_on=ANOTHER)
    _check_outputs(asked, config)
    result, feed = _run(config, asked)
    ending = _ending(result)
    if asked.trades is not None:
        marked_at_ms = {data.symbol: data.until_ms for data in ending.coverage.data()}
        said = write_trades(asked.trades, ending.trades.closed(), ending.portfolio.positions(), marked_at_ms)
        if said:
            warn(said)
    if asked.db is not None:
        _write(result, asked.db, config)
    summary = _summary(result, feed, ending)
    if as_json:
        emit(summary)
        return
    from papertape.cli.render.backtest import show_backtest  # noqa: PLC0415 - tables are slow to import.

    show_backtest(summary, {contract.symbol: contract for contract in result.tape.contracts})


def _check_outputs(asked: BacktestOptions, config: Config) -> None:
    """Raise UsageError for outputs that cannot be written, before anything is computed."""
    inputs = read_files(config, asked.config)
    if asked.db is not None:
        make_folder(asked.db)
        check_output("--db", asked.db, inputs)
    if asked.trades is not None:
        written = [] if asked.db is None else log_files(asked.db)
        check_output("--trades", asked.trades, inputs, written)
        if not asked.trades.exists() or asked.trades.is_file():
            check_output("--trades", open_path(asked.trades), inputs, written)


def _configured(asked: BacktestOptions) -> Config:
    """The configuration with everything the command line says."""
    config = with_files(load_config(asked.config, asked.sets), asked.candles, asked.funding, asked.open_interest)
    files = config.feed.file
    files = replace(files, start=files.start if asked.start is None else asked.start)
    files = replace(files, end=files.end if asked.end is None else asked.end)
    strategies = config.strategies
    if asked.strategy:
        strategies = replace(strategies, enabled=tuple(asked.strategy))
    return replace(config, feed=replace(config.feed, kind="file", file=files), strategies=strategies)


def _run(config: Config, asked: BacktestOptions) -> tuple[Backtest, FileFeed]:
    """Read the files and run the strategies over them."""
    files = config.feed.file
    start_ms = moment_ms(files.start, "--from") if files.start or asked.start is not None else None
    end_ms = moment_ms(files.end, "--to") if files.end or asked.end is not None else None
    with import_ahead(asked.engine) as quick:
        feed = _feed(config, quick)
    check_period(feed, start_ms, end_ms)
    report_files(feed, start_ms, end_ms, warn)
    strategies = strategies_of(config)
    base_ms = next(iter(feed.candles.values())).timeframe_ms
    runners = make_runners(config, strategies, base_ms, warn)
    with progress_bar("backtest", sum(len(table.open_time_ms) for table in feed.candles.values())) as progress:
        result = run_backtest(feed, strategies, runners, asked.engine, start_ms, end_ms, progress, asked.after_trip)
    return result, feed


def _feed(config: Config, quick: QuickReader) -> FileFeed:
    """The feed over the whole files; which part of them counts is the tape's to say."""
    whole = replace(config.feed.file, start="", end="")
    return file_feed(replace(config, feed=replace(config.feed, file=whole)), SystemClock(), quick)


def _ending(result: Backtest) -> FinalState:
    """Fold the state at the end of a run."""
    portfolio, trades = Portfolio(), Trades()
    coverage = Coverage(portfolio)
    fold([portfolio, trades, coverage], (Recorded(0, 0, 0, event) for event in excerpt(result)))
    return FinalState(portfolio, trades, coverage)


def _summary(result: Backtest, feed: FileFeed, ending: FinalState) -> BacktestResult:
    """The whole run in figures."""
    runners = zip(result.world.runners, result.summaries, result.equities, strict=True)
    return BacktestResult(
        engine=result.engine,
        facts=result.facts.total,
        seconds=result.took_s,
        symbols=tuple(contract.symbol for contract in result.tape.contracts),
        refused_rows=feed.refusals.total,
        requested_from_ms=result.tape.start_ms,
        requested_until_ms=result.tape.end_ms,
        resets=result.resets,
        data=ending.coverage.data(),
        strategies=tuple(_strategy(runner, course, equities, ending) for runner, course, equities in runners),
    )


def _strategy(runner: Runner, course: EquitySummary, equities: Sequence[float], ending: FinalState) -> StrategyResult:
    """One strategy in figures."""
    name, portfolio, trades = runner.strategy.name, ending.portfolio, ending.trades
    held = portfolio.positions(name)
    step = max(1, len(equities) // SPARKLINE_POINTS)
    return StrategyResult(
        strategy=name,
        stopped=portfolio.account(name).why,
        coverage=ending.coverage.of(name),
        performance=performance(
            trades.closed(name),
            course.day_equities_usdt,
            runner.rules.capital_usdt,
            course.end_equity_usdt,
            course.max_drawdown_fraction,
            longest_drawdown_ms=course.longest_drawdown_ms,
            from_ms=course.from_ms,
            until_ms=course.until_ms,
            open_since_ms=[position.entry_time_ms for position in held],
        ),
        by_symbol={symbol: trade_figures(trades.closed(name, symbol)) for symbol in runner.configured.symbols},
        open_positions=held,
        pending_orders=tuple(order for order in portfolio.orders() if order.strategy == name),
        sparkline=tuple(float(value) for value in equities[::step]),
    )


def _write(result: Backtest, path: Path, config: Config) -> None:
    """Write the run as a log that every other verb can open."""
    from papertape.cli.offline.backtest_log import write_log  # noqa: PLC0415 - only when it is asked for

    with progress_bar("writing the log", result.facts.total) as on_progress, whole_log(path) as half:
        run_tasks(lambda: write_log(result, half, config, on_progress))
