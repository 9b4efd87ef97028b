"""A backtest on a terminal: each strategy's measures and course, then its trades by symbol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from papertape.cli.render.console import (
    NOTHING,
    Column,
    gain_cell,
    notes,
    optional,
    percent_cell,
    plain,
    sparkline,
    stdout,
    table,
)
from papertape.cli.render.positions import position_columns
from papertape.projections.folds.performance import FEW_TRADES
from papertape.projections.text.formats import duration, money, utc

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from papertape.cli.offline.backtest import BacktestResult, StrategyResult
    from papertape.events.facts import ContractListed
    from papertape.projections.folds.coverage import CoverageView

TRIPS_SHOWN_MAX = 5
SPARKLINE_COLUMNS = 24


def show_backtest(result: BacktestResult, contracts: dict[str, ContractListed]) -> None:
    """Show each strategy's measures and coverage, the open positions, and the trades by symbol."""
    console = stdout()
    rate = result.facts / result.seconds if result.seconds > 0.0 else 0.0
    title = f"Backtest of {', '.join(result.symbols)}: {result.facts:,} facts in {result.seconds:.2f} s"
    made, left_out = table(_columns(result.strategies), console, f"{title}, {result.engine} ({rate:,.0f} a second)")
    console.print(made)
    held = (line for one in result.strategies for line in _open_lines(one))
    refused = f"{result.refused_rows:,} rows of the files were refused" if result.refused_rows else ""
    resets = f"kill switches were reset {result.resets:,} times, at the next UTC day" if result.resets else ""
    few = any(one.performance.few_trades for one in result.strategies)
    marked = f"* fewer than {FEW_TRADES} closed trades: counts, not verdicts" if few else ""
    early = (f"{data.words}; open positions in it are marked at that close" for data in result.data if data.ends_early)
    notes(console, [*held, *early, resets, refused, marked, left_out])
    _show_coverage(console, result)
    _show_open(console, result, contracts)
    rows = [(one.strategy, symbol) for one in result.strategies for symbol in one.by_symbol]
    if len(result.symbols) > 1:
        console.print(table(_symbol_columns(result, rows), console, "By symbol")[0])


def _open_lines(one: StrategyResult) -> Iterator[str]:
    """Yield a line for each open position and pending order at the end."""
    if one.open_positions:
        symbols = ", ".join(f"{position.side} {position.symbol}" for position in one.open_positions)
        yield f"{one.strategy} still holds {symbols}, marked at the last close"
    for order in one.pending_orders:
        yield f"{one.strategy} has a pending order:  {order.action} {order.side} {order.symbol} at the next open"


def _show_coverage(console: Console, result: BacktestResult) -> None:
    """Show how much of the period each strategy could trade and did, its trips, and its refused signals."""
    coverages = [one.coverage for one in result.strategies]
    console.print(table(_coverage_columns(coverages), console, f"Coverage, requested {_requested(result)}")[0])
    notes(console, (line for coverage in coverages for line in _coverage_lines(coverage)))


def _requested(result: BacktestResult) -> str:
    """Return the requested period in words."""
    from_ms, until_ms = result.requested_from_ms, result.requested_until_ms
    if from_ms is None and until_ms is None:
        return "all candles"
    first = "the first candle" if from_ms is None else utc(from_ms)
    return f"{first} to {'the last candle' if until_ms is None else utc(until_ms)} UTC"


def _coverage_columns(coverages: Sequence[CoverageView]) -> list[Column]:
    """Return the coverage columns; the rank decides which stay on a narrow terminal."""
    return [
        Column("strategy", plain(one.strategy for one in coverages), justify="left"),
        Column("candles UTC", plain(_period(one.from_ms, one.until_ms) for one in coverages), rank=1, justify="left"),
        Column(
            "traded UTC",
            plain(_period(one.traded_from_ms, one.traded_until_ms) for one in coverages),
            justify="left",
        ),
        Column("entries allowed", [_percent(one.entries_allowed_percent) for one in coverages]),
        Column("trips", plain(f"{len(one.trips):,}" for one in coverages), rank=3),
        Column("resets", plain(f"{one.resets:,}" for one in coverages), rank=4),
        Column("refused signals", plain(f"{one.refused_signals:,}" for one in coverages), rank=2),
    ]


def _period(from_ms: int, until_ms: int) -> str:
    return f"{utc(from_ms)} to {utc(until_ms)} ({duration(until_ms - from_ms)})" if until_ms else "-"


def _coverage_lines(coverage: CoverageView) -> Iterator[str]:
    """Yield the newest trips of a strategy and the reasons of its refusals."""
    hidden = len(coverage.trips) - TRIPS_SHOWN_MAX
    if hidden > 0:
        yield f"{coverage.strategy}: {hidden:,} earlier trips are in --json"
    for trip in coverage.trips[-TRIPS_SHOWN_MAX:]:
        reset = f"; reset {utc(trip.reset_at_ms)} UTC" if trip.reset_at_ms else ""
        yield f"{coverage.strategy} stopped {utc(trip.tripped_at_ms)} UTC: {trip.why}{reset}"
    if coverage.refused:
        signals = "signal" if coverage.refused_signals == 1 else "signals"
        yield f"{coverage.strategy}: {coverage.refused_signals:,} {signals} refused: {coverage.refusal_words}"
    if coverage.cancelled:
        yield f"{coverage.strategy}: entry orders cancelled: {coverage.cancel_words}"


def _show_open(console: Console, result: BacktestResult, contracts: dict[str, ContractListed]) -> None:
    """Show the positions that were still open at the end."""
    positions = [position for one in result.strategies for position in one.open_positions]
    if positions:
        columns = [column for column in position_columns(positions, contracts) if column.title != "seq"]
        console.print(table(columns, console, "Open at the end, marked at the last close")[0])


def _columns(results: Sequence[StrategyResult]) -> list[Column]:
    """The measures; the rank says which stay where there is little room."""
    found = [one.performance for one in results]
    return [
        Column("strategy", plain(one.strategy for one in results), justify="left"),
        Column("net", [percent_cell(one.net_return_percent) for one in found]),
        Column("equity USDT", plain(money(one.end_equity_usdt) for one in found)),
        Column("trades", [Text(f"{one.trades:,}{'*' if one.few_trades else ' '}") for one in found]),
        Column("won", [_percent(one.win_rate_percent) for one in found], rank=1),
        Column("PF", optional((one.profit_factor for one in found), ".2f"), rank=2),
        Column("USDT/trade", [gain_cell(one.expectancy_usdt) for one in found], rank=4),
        Column("R", optional((one.expectancy_r for one in found), "+.2f"), rank=6),
        Column("Sharpe", optional((one.sharpe for one in found), ".2f"), rank=3),
        Column("Sortino", optional((one.sortino for one in found), ".2f"), rank=9),
        Column("max DD", plain(f"{one.max_drawdown_percent:.2f} %" for one in found), rank=1),
        Column("exposure", plain(f"{one.exposure_percent:.1f} %" for one in found), rank=8),
        Column("fees", plain(money(one.fees_usdt) for one in found), rank=5),
        Column("funding", [gain_cell(one.funding_usdt) for one in found], rank=7),
        Column("slippage", plain(money(one.slippage_usdt) for one in found), rank=8),
        Column("equity", [sparkline(one.sparkline, SPARKLINE_COLUMNS) for one in results], rank=4, justify="left"),
    ]


def _symbol_columns(result: BacktestResult, rows: Sequence[tuple[str, str]]) -> list[Column]:
    """Closed trades by strategy and symbol."""
    by_name = {one.strategy: one for one in result.strategies}
    found = [by_name[strategy].by_symbol[symbol] for strategy, symbol in rows]
    return [
        Column("strategy", plain(strategy for strategy, _ in rows), justify="left"),
        Column("symbol", plain(symbol for _, symbol in rows), justify="left"),
        Column("net USDT", [gain_cell(one.net_usdt) for one in found]),
        Column("trades", plain(f"{one.trades:,}" for one in found)),
        Column("won", [_percent(one.win_rate_percent) for one in found]),
        Column("PF", optional((one.profit_factor for one in found), ".2f"), rank=1),
        Column("USDT/trade", [gain_cell(one.expectancy_usdt) for one in found], rank=2),
        Column("holding", [_holding(one.mean_holding_ms) for one in found], rank=3),
    ]


def _percent(value: float | None) -> Text:
    return NOTHING if value is None else Text(f"{value:.1f} %")


def _holding(value: float | None) -> Text:
    return NOTHING if value is None else Text(duration(int(value)))
