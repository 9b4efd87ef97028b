"""`papertape backtest`: the configured strategies over recorded candles, at research speed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from cli.arguments import moment_ms
from cli.config import load_config, strategies_of
from cli.graph import file_feed, make_runners, report_refusals, warn, with_files
from cli.new_log import ANOTHER, admit_log
from cli.output import emit
from cli.progress import counting
from engine.clock import SystemClock
from engine.research.backtest import Backtest, import_ahead
from engine.research.backtest import backtest as run_backtest
from events.errors import UsageError
from events.log import Recorded
from projections.host import fold
from projections.performance import Performance, TradeFigures, performance, trade_figures
from projections.portfolio import Portfolio, PositionView
from projections.trades import Trades, write_trades_csv

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.config import Config
    from engine.core.world import Runner
    from engine.feeds.file import FileFeed
    from engine.feeds.tables import QuickReader
    from engine.research.course import Course

SPARKLINE_POINTS = 60


class StrategyResult(Struct, frozen=True):
    """One strategy: its measures, those of its closed trades by symbol, and what stopped it, if anything did."""

    strategy: str
    stopped: str
    performance: Performance
    by_symbol: dict[str, TradeFigures]
    open_positions: tuple[PositionView, ...]
    sparkline: tuple[float, ...]


class BacktestResult(Struct, frozen=True):
    """A backtest in figures."""

    engine: str
    facts: int
    seconds: float
    symbols: tuple[str, ...]
    refused_rows: int
    strategies: tuple[StrategyResult, ...]


class Asked(Struct, frozen=True):
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


def show(asked: Asked, *, as_json: bool) -> None:
    """Run the strategies over the files and show what came of it."""
    if asked.db is not None and asked.db.exists():
        raise UsageError(f"--db {asked.db}: there is a file already; a backtest writes a log of its own")
    if asked.trades is not None and not asked.trades.parent.is_dir():
        raise UsageError(f"--trades {asked.trades}: there is no folder {asked.trades.parent}")
    config = _configured(asked)
    if asked.db is not None:
        admit_log(asked.db, config, way_on=ANOTHER)
    result, feed = _run(config, asked.engine)
    portfolio, trades = _told(result)
    if asked.trades is not None:
        with asked.trades.open("w", newline="") as file:
            write_trades_csv(file, trades.closed())
    if asked.db is not None:
        _write(result, asked.db, config)
    summary = _summary(result, feed, portfolio, trades)
    if as_json:
        emit(summary)
        return
    from cli.backtest_view import show_backtest  # noqa: PLC0415 - tables are slow to import.

    show_backtest(summary)


def _configured(asked: Asked) -> Config:
    """The configuration with everything the command line says."""
    config = with_files(load_config(asked.config, asked.sets), asked.candles, asked.funding, asked.open_interest)
    files = config.feed.file
    files = replace(files, start=files.start if asked.start is None else asked.start)
    files = replace(files, end=files.end if asked.end is None else asked.end)
    strategies = config.strategies
    if asked.strategy:
        strategies = replace(strategies, enabled=tuple(asked.strategy))
    return replace(config, feed=replace(config.feed, kind="file", file=files), strategies=strategies)


def _run(config: Config, engine: str) -> tuple[Backtest, FileFeed]:
    """Read the files and run the strategies over them."""
    with import_ahead(engine) as quick:
        feed = _feed(config, quick)
    files = config.feed.file
    start_ms, end_ms = moment_ms(files.start or None), moment_ms(files.end or None)
    report_refusals(feed.refusals, warn)
    strategies = strategies_of(config)
    base_ms = next(iter(feed.candles.values())).timeframe_ms
    runners = make_runners(config, strategies, base_ms, warn)
    with counting("backtest", sum(len(table.open_time_ms) for table in feed.candles.values())) as progress:
        result = run_backtest(feed, strategies, runners, engine, start_ms, end_ms, progress)
    return result, feed


def _feed(config: Config, quick: QuickReader) -> FileFeed:
    """The feed over the whole files; which part of them counts is the tape's to say."""
    whole = replace(config.feed.file, start="", end="")
    return file_feed(replace(config, feed=replace(config.feed, file=whole)), SystemClock(), quick)


def _told(result: Backtest) -> tuple[Portfolio, Trades]:
    """Positions and trades, from the run's events."""
    portfolio, trades = Portfolio(), Trades()
    events = [*result.configuration, *(item.event for item in result.decided)]
    fold([portfolio, trades], (Recorded(seq, 0, 0, event) for seq, event in enumerate(events, 1)))
    return portfolio, trades


def _summary(result: Backtest, feed: FileFeed, portfolio: Portfolio, trades: Trades) -> BacktestResult:
    """The whole run in figures."""
    runners = zip(result.world.runners, result.courses, result.equities, strict=True)
    return BacktestResult(
        engine=result.engine,
        facts=result.facts.total,
        seconds=result.took_s,
        symbols=tuple(contract.symbol for contract in result.tape.contracts),
        refused_rows=feed.refusals.total,
        strategies=tuple(
            _strategy(runner, course, equities, portfolio, trades) for runner, course, equities in runners
        ),
    )


def _strategy(
    runner: Runner, course: Course, equities: Sequence[float], portfolio: Portfolio, trades: Trades
) -> StrategyResult:
    """One strategy in figures."""
    name = runner.strategy.name
    closed = trades.closed(name)
    held = portfolio.positions(name)
    step = max(1, len(equities) // SPARKLINE_POINTS)
    return StrategyResult(
        strategy=name,
        stopped=portfolio.account(name).why,
        performance=performance(
            closed,
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
        sparkline=tuple(float(value) for value in equities[::step]),
    )


def _write(result: Backtest, path: Path, config: Config) -> None:
    """Write the run as a log that every other verb can open."""
    from cli.backtest_log import write_log  # noqa: PLC0415 - only when it is asked for

    with counting("writing the log", result.facts.total) as on_progress:
        asyncio.run(write_log(result, path, config, on_progress))
