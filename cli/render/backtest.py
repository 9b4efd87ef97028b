"""A backtest on a terminal: each strategy's figures and equity, then its trades by symbol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.cli.render.console import (
    FEW_TRADES_NOTE,
    Column,
    gain_cell,
    notes,
    optional,
    percent_cell,
    percents,
    plain,
    print_table,
    sparkline,
    stdout,
    trade_count,
)
from papertape.cli.render.positions import position_columns
from papertape.projections.text.formats import duration, money, utc
from papertape.projections.text.order_words import waiting_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from papertape.cli.render.backtest_result import BacktestResult, StrategyResult
    from papertape.events.facts import ContractListed
    from papertape.projections.folds.coverage import CoverageView

TRIPS_SHOWN_MAX = 5
SPARKLINE_COLUMNS = 24


def show_backtest(result: BacktestResult, contracts: dict[str, ContractListed]) -> None:
    """Show each strategy's figures and coverage, the open positions, and the trades by symbol."""
    console = stdout()
    rate = result.facts / result.seconds if result.seconds > 0.0 else 0.0
    title = f"Backtest of {', '.join(result.symbols)}: {result.facts:,} facts in {result.seconds:.2f} s"
    hidden = print_table(_columns(result.strategies), console, f"{title}, {result.engine} ({rate:,.0f} per second)")
    held = (line for one in result.strategies for line in _open_lines(one))
    refused = f"{result.refused_rows:,} rows of the files were refused" if result.refused_rows else ""
    resets = f"kill switches were reset {result.resets:,} times, at the next UTC day" if result.resets else ""
    few = FEW_TRADES_NOTE if any(one.performance.few_trades for one in result.strategies) else ""
    early = (f"{data.words}; open positions in it are marked at that close" for data in result.data if data.ends_early)
    notes(console, [*held, *early, resets, refused, few, hidden])
    _show_coverage(console, result)
    _show_open(console, result, contracts)
    rows = [(one.strategy, symbol) for one in result.strategies for symbol in one.by_symbol]
    if len(result.symbols) > 1:
        print_table(_symbol_columns(result, rows), console, "By symbol")


def _open_lines(one: StrategyResult) -> Iterator[str]:
    """Yield a line for each open position and pending order at the end."""
    if one.open_positions:
        symbols = ", ".join(f"{position.side} {position.symbol}" for position in one.open_positions)
        yield f"{one.strategy} still holds {symbols}, marked at the last close"
    for order in one.pending_orders:
        name = waiting_words(order.action, order.kind, order.rung)
        place = f"at {order.price_usdt:,.10g}" if order.is_resting else "at the next open"
        yield f"{one.strategy} has a pending order: {name} {order.side} {order.symbol} {place}"


def _show_coverage(console: Console, result: BacktestResult) -> None:
    """Show how much of the period each strategy could trade and did, its trips, and its refused signals."""
    coverages = [one.coverage for one in result.strategies]
    print_table(_coverage_columns(coverages), console, f"Coverage, requested {_requested(result)}")
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
        Column("entries allowed", percents(one.entries_allowed_percent for one in coverages)),
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
    if coverage.refused_changes:
        yield f"{coverage.strategy}: changes of orders refused: {coverage.change_words}"


def _show_open(console: Console, result: BacktestResult, contracts: dict[str, ContractListed]) -> None:
    """Show the positions that were still open at the end."""
    positions = [position for one in result.strategies for position in one.open_positions]
    if positions:
        columns = [column for column in position_columns(positions, contracts) if column.title != "seq"]
        print_table(columns, console, "Open at the end, marked at the last close")


def _columns(results: Sequence[StrategyResult]) -> list[Column]:
    """Return the figures; the rank decides which stay on a narrow terminal."""
    figures = [one.performance for one in results]
    return [
        Column("strategy", plain(one.strategy for one in results), justify="left"),
        Column("net", [percent_cell(one.net_return_percent) for one in figures]),
        Column("equity USDT", plain(money(one.end_equity_usdt) for one in figures)),
        Column("trades", [trade_count(one) for one in figures]),
        Column("won", percents(one.win_rate_percent for one in figures), rank=1),
        Column("PF", optional((one.profit_factor for one in figures), ".2f"), rank=2),
        Column("USDT/trade", [gain_cell(one.expectancy_usdt) for one in figures], rank=4),
        Column("R", optional((one.expectancy_r for one in figures), "+.2f"), rank=6),
        Column("Sharpe", optional((one.sharpe for one in figures), ".2f"), rank=3),
        Column("Sortino", optional((one.sortino for one in figures), ".2f"), rank=9),
        Column("max DD", percents((one.max_drawdown_percent for one in figures), ".2f"), rank=1),
        Column("exposure", percents(one.exposure_percent for one in figures), rank=8),
        Column("fees", plain(money(one.fees_usdt) for one in figures), rank=5),
        Column("funding", [gain_cell(one.funding_usdt) for one in figures], rank=7),
        Column("slippage", plain(money(one.slippage_usdt) for one in figures), rank=8),
        Column("equity", [sparkline(one.sparkline, SPARKLINE_COLUMNS) for one in results], rank=4, justify="left"),
    ]


def _symbol_columns(result: BacktestResult, rows: Sequence[tuple[str, str]]) -> list[Column]:
    """Return the columns of closed trades by strategy and symbol."""
    by_name = {one.strategy: one for one in result.strategies}
    figures = [by_name[strategy].by_symbol[symbol] for strategy, symbol in rows]
    return [
        Column("strategy", plain(strategy for strategy, _ in rows), justify="left"),
        Column("symbol", plain(symbol for _, symbol in rows), justify="left"),
        Column("net USDT", [gain_cell(one.net_usdt) for one in figures]),
        Column("trades", plain(f"{one.trades:,}" for one in figures)),
        Column("won", percents(one.win_rate_percent for one in figures)),
        Column("PF", optional((one.profit_factor for one in figures), ".2f"), rank=1),
        Column("USDT/trade", [gain_cell(one.expectancy_usdt) for one in figures], rank=2),
        Column("holding", plain(_holding(one.mean_holding_ms) for one in figures), rank=3),
    ]


def _holding(value: float | None) -> str:
    return "-" if value is None else duration(int(value))
