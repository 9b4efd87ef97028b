"""`papertape backtest`: the configured strategies over recorded candles, at research speed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from papertape.cli.arguments import optional_moment_ms
from papertape.cli.config.overrides import load_config
from papertape.cli.config.sections import enabled_names, strategies_of
from papertape.cli.environment.tasks import run_tasks
from papertape.cli.offline.backtest_trades import open_path, write_trades
from papertape.cli.offline.output_files import check_output, log_files, read_files, whole_file, whole_log
from papertape.cli.offline.recorded_market import check_source, log_tape
from papertape.cli.progress import progress_bar
from papertape.cli.render.backtest_result import BacktestResult, StrategyResult
from papertape.cli.render.console import emit, fields_of
from papertape.cli.service.log_admission import ANOTHER, admit_log
from papertape.cli.wiring import check_period, file_feed, make_runners, note, report_files, warn, with_files
from papertape.engine.hook_overrun import ended_overruns
from papertape.engine.ports.clock import SystemClock
from papertape.engine.reducer.hook_guard import GUARD_CODE
from papertape.engine.research.backtest import Backtest, backtest_tape, import_ahead
from papertape.engine.research.excerpt import excerpt
from papertape.engine.research.tape import tape_of
from papertape.engine.runner_settings import late_reference_warnings
from papertape.engine.startup import make_folder
from papertape.events.errors import StrategyFault, UsageError
from papertape.events.log import Recorded
from papertape.projections.folds.coverage import Coverage
from papertape.projections.folds.fills import write_fills_csv
from papertape.projections.folds.performance import performance, trade_figures
from papertape.projections.folds.portfolio import Portfolio
from papertape.projections.folds.trades import Trades
from papertape.projections.host import fold
from papertape.projections.text.reasons import failure_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.cli.config.sections import Config
    from papertape.engine.feeds.files.csv_reader import QuickReader
    from papertape.engine.feeds.files.feed import FileFeed
    from papertape.engine.inspect.funnel import FunnelReport
    from papertape.engine.reducer.state import Runner
    from papertape.engine.research.equity_curve import EquitySummary
    from papertape.engine.research.tape import Tape

SPARKLINE_POINTS = 60


class FinalState(Struct, frozen=True):
    """The state at the end of a run, folded from its excerpt."""

    portfolio: Portfolio
    trades: Trades
    coverage: Coverage


class BacktestOptions(Struct, frozen=True):
    """The options on the command line."""

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
    funnel: bool = False
    fills: Path | None = None
    signals: list[str] = []
    log: Path | None = None
    symbols: list[str] = []


def show(options: BacktestOptions, *, as_json: bool) -> None:
    """Run the strategies over the files and show the results. Raise StrategyFault if one failed on the way."""
    if options.db is not None and options.db.exists():
        raise UsageError(f"--db {options.db}: this file already exists; a backtest writes a new log")
    config = _configured(options)
    if options.db is not None:
        admit_log(options.db, config, way_on=ANOTHER)
    _check_outputs(options, config)
    result, refused_rows = _run(config, options)
    final = _final_state(result)
    if options.trades is not None:
        marked_at_ms = {data.symbol: data.until_ms for data in final.coverage.data()}
        note = write_trades(options.trades, final.trades.closed(), final.portfolio.positions(), marked_at_ms)
        if note:
            warn(note)
    if options.fills is not None:
        with whole_file("--fills", options.fills) as file:
            write_fills_csv(file, final.trades.fills())
    if options.db is not None:
        _write(result, options.db, config)
    _show_results(result, refused_rows, final, options, as_json=as_json)
    if result.failures:
        raise StrategyFault("\n".join(f"{one.strategy}: {failure_words(one)}" for one in result.failures))


def _show_results(
    result: Backtest, refused_rows: int, final: FinalState, options: BacktestOptions, *, as_json: bool
) -> None:
    """Print the results of a run."""
    summary = _summary(result, refused_rows, final)
    funnel = _funnel(result, final) if options.funnel else None
    if as_json:
        emit(summary if funnel is None else {**fields_of(summary), "funnel": fields_of(funnel)})
        return
    from papertape.cli.render.backtest import show_backtest  # noqa: PLC0415 - tables are slow to import.
    from papertape.cli.render.funnel import print_funnel  # noqa: PLC0415 - likewise.

    show_backtest(summary, {contract.symbol: contract for contract in result.tape.contracts})
    if funnel is not None:
        print_funnel(funnel)


def _funnel(result: Backtest, final: FinalState) -> FunnelReport:
    """Return the funnel of the run."""
    from papertape.cli.offline.backtest_funnel import backtest_funnel  # noqa: PLC0415 - rarely needed.

    with progress_bar("counting the funnel", result.facts.total) as on_progress:
        return backtest_funnel(result, final.coverage.data(), on_progress)


def _check_outputs(options: BacktestOptions, config: Config) -> None:
    """Raise UsageError for outputs that cannot be written, before anything is computed."""
    log, *beside = log_files(config.database)
    inputs = [*read_files(config, options.config), *beside, *([] if options.log is None else log_files(options.log))]
    if options.db is not None:
        make_folder(options.db)
        check_output("--db", options.db, inputs)
    inputs.append(log)
    written = [] if options.db is None else log_files(options.db)
    if options.trades is not None:
        check_output("--trades", options.trades, inputs, written)
        if not options.trades.exists() or options.trades.is_file():
            check_output("--trades", open_path(options.trades), inputs, written)
        written = [*written, options.trades, open_path(options.trades)]
    if options.fills is not None:
        check_output("--fills", options.fills, inputs, written)


def _configured(options: BacktestOptions) -> Config:
    """Return the configuration with the command line's options applied."""
    check_source(options)
    loaded = load_config(options.config, options.sets)
    config = with_files(loaded, options.candles, options.funding, options.open_interest, options.signals)
    files = config.feed.file
    files = replace(files, start=files.start if options.start is None else options.start)
    files = replace(files, end=files.end if options.end is None else options.end)
    strategies = config.strategies
    if options.strategy:
        strategies = replace(strategies, enabled=tuple(options.strategy))
    return replace(config, feed=replace(config.feed, kind="file", file=files), strategies=strategies)


def _run(config: Config, options: BacktestOptions) -> tuple[Backtest, int]:
    """Read the market and run the strategies over it; return also how many rows of it were refused."""
    if options.log is None:
        return _run_files(config, options)
    start_ms, end_ms = optional_moment_ms(options.start, "--from"), optional_moment_ms(options.end, "--to")
    tape = log_tape(options.log, options.symbols, start_ms, end_ms)
    return _run_tape(tape, config, options), 0


def _run_files(config: Config, options: BacktestOptions) -> tuple[Backtest, int]:
    """Read the files and run the strategies over them."""
    files = config.feed.file
    start_ms = optional_moment_ms((files.start or None) if options.start is None else options.start, "--from")
    end_ms = optional_moment_ms((files.end or None) if options.end is None else options.end, "--to")
    names = enabled_names(config)
    strategies = strategies_of(config)
    read = (*files.candles, *files.funding, *files.open_interest)
    with import_ahead(options.engine, read, len(strategies if names is None else names)) as quick:
        feed = _feed(config, quick)
    check_period(list(feed.candles.values()), start_ms, end_ms)
    report_files(feed, start_ms, end_ms, warn)
    return _run_tape(tape_of(feed, start_ms, end_ms), config, options), feed.refusals.total


def _run_tape(tape: Tape, config: Config, options: BacktestOptions) -> Backtest:
    """Run the strategies over a tape."""
    strategies, symbols = strategies_of(config), [contract.symbol for contract in tape.contracts]
    runners = make_runners(config, strategies, tape.contracts[0].timeframe_ms, warn)
    for line in late_reference_warnings(strategies, runners, symbols):
        warn(line)
    candles = sum(len(table.open_time_ms) for table in tape.candles)
    with progress_bar("backtest", candles) as progress, ended_overruns(GUARD_CODE):
        return backtest_tape(tape, strategies, runners, options.engine, progress, options.after_trip, note)


def _feed(config: Config, quick: QuickReader) -> FileFeed:
    """Return the feed over the whole files; the tape selects the period."""
    whole = replace(config.feed.file, start="", end="")
    return file_feed(replace(config, feed=replace(config.feed, file=whole)), SystemClock(), quick)


def _final_state(result: Backtest) -> FinalState:
    """Fold the state at the end of a run."""
    portfolio, trades = Portfolio(), Trades()
    coverage = Coverage(portfolio)
    fold([portfolio, trades, coverage], (Recorded(0, 0, 0, event) for event in excerpt(result)))
    return FinalState(portfolio, trades, coverage)


def _summary(result: Backtest, refused_rows: int, final: FinalState) -> BacktestResult:
    runners = zip(result.world.runners, result.summaries, result.equities, strict=True)
    return BacktestResult(
        engine=result.engine,
        facts=result.facts.total,
        seconds=result.took_s,
        symbols=tuple(contract.symbol for contract in result.tape.contracts),
        refused_rows=refused_rows,
        requested_from_ms=result.tape.start_ms,
        requested_until_ms=result.tape.end_ms,
        resets=result.resets,
        data=final.coverage.data(),
        strategies=tuple(_strategy(runner, course, equities, final) for runner, course, equities in runners),
    )


def _strategy(runner: Runner, course: EquitySummary, equities: Sequence[float], final: FinalState) -> StrategyResult:
    name, portfolio, trades = runner.strategy.name, final.portfolio, final.trades
    held = portfolio.positions(name)
    step = max(1, len(equities) // SPARKLINE_POINTS)
    return StrategyResult(
        strategy=name,
        stopped=portfolio.account(name).why,
        coverage=final.coverage.of(name),
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
    """Write the run as a log that every other command can open."""
    from papertape.cli.library.log_header import note_result  # noqa: PLC0415 - rarely needed.
    from papertape.cli.offline.backtest_log import write_log  # noqa: PLC0415 - likewise.

    capital_usdt = sum(runner.rules.capital_usdt for runner in result.world.runners)
    with progress_bar("writing the log", result.facts.total) as on_progress, whole_log(path) as half:
        run_tasks(lambda: write_log(result, half, config, on_progress))
        note_result(half, sum(course.end_equity_usdt for course in result.summaries) - capital_usdt)
