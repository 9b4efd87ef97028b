"""A backtest on a terminal: each strategy's measures and course, then its trades by symbol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from cli.output import NOTHING, Column, gain_cell, notes, optional, percent_cell, plain, sparkline, stdout, table
from projections.formats import duration, money
from projections.performance import FEW_TRADES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.backtest import BacktestResult, StrategyResult

SPARKLINE_COLUMNS = 24


def show_backtest(result: BacktestResult) -> None:
    """Show the measures of every strategy, then the trades of each by symbol."""
    console = stdout()
    rate = result.facts / result.seconds if result.seconds > 0.0 else 0.0
    title = f"Backtest of {', '.join(result.symbols)}: {result.facts:,} facts in {result.seconds:.2f} s"
    made, left_out = table(_columns(result.strategies), console, f"{title}, {result.engine} ({rate:,.0f} a second)")
    console.print(made)
    stops = (f"{one.strategy}: {one.stopped}" for one in result.strategies if one.stopped)
    held = (_held(one) for one in result.strategies if one.open_positions)
    refused = f"{result.refused_rows:,} rows of the files were refused" if result.refused_rows else ""
    resets = f"kill switches were reset {result.resets:,} times, at the next UTC day" if result.resets else ""
    few = any(one.performance.few_trades for one in result.strategies)
    marked = f"* fewer than {FEW_TRADES} closed trades: counts, not verdicts" if few else ""
    notes(console, [*stops, resets, *held, refused, marked, left_out])
    rows = [(one.strategy, symbol) for one in result.strategies for symbol in one.by_symbol]
    if len(result.symbols) > 1:
        console.print(table(_symbol_columns(result, rows), console, "By symbol")[0])


def _held(one: StrategyResult) -> str:
    """Positions that were still open at the end."""
    symbols = ", ".join(f"{position.side} {position.symbol}" for position in one.open_positions)
    return f"{one.strategy} still holds {symbols}, valued at the last close"


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
