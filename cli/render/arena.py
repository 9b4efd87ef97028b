"""`papertape arena`: the strategies ranked by net return."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from papertape.cli.kept_views import kept_views
from papertape.cli.log_reader import fold_log
from papertape.cli.render.console import (
    BAD,
    FEW_TRADES_NOTE,
    NOTHING,
    QUIET,
    Column,
    emit,
    fields_of,
    gain_cell,
    notes,
    optional,
    percent_cell,
    percents,
    plain,
    print_table,
    sparkline,
    state_cell,
    stdout,
    trade_count,
)
from papertape.projections.folds.arena import Arena, ArenaRow
from papertape.projections.folds.portfolio import Portfolio
from papertape.projections.folds.promised import Promised
from papertape.projections.folds.trades import Trades
from papertape.projections.text.formats import gain, introduced, money, utc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.cli.log_reader import OpenedLog

SPARKLINE_COLUMNS = 16


def show_arena(reader: OpenedLog, *, as_json: bool) -> None:
    """Show the arena at the head of the log."""
    with kept_views(reader) as views:
        if views is not None:
            portfolio, rows = views.portfolio, views.arena.rows()
        else:
            portfolio, trades = Portfolio(), Trades()
            promised = Promised(portfolio)
            fold_log(reader, [portfolio, trades, promised])
            rows = Arena(portfolio, trades, promised).rows()
    if as_json:
        emit([fields_of(row) for row in rows])
        return
    console = stdout()
    if not rows:
        notes(console, [f"No strategies yet: none of the log's {portfolio.seq:,} events configures one."])
        return
    at = f" at {utc(portfolio.at_ms)} UTC" if portfolio.at_ms else ", before the first candle"
    hidden = print_table(arena_columns(rows), console, f"Arena{at}, seq {portfolio.seq:,}")
    few = FEW_TRADES_NOTE if any(row.few_trades for row in rows) else ""
    of = [f"{introduced(row.strategy, row.of)}: the same file under a name of its own" for row in rows if row.of]
    drifts = [f"{row.strategy}: {drift.words}" for row in rows if row.promise for drift in row.promise.drifts]
    notes(console, [*of, *(f"{row.strategy}: {row.why}" for row in rows if row.why), *drifts, few, hidden])


def arena_columns(rows: Sequence[ArenaRow]) -> list[Column]:
    """Return all columns; the rank decides which stay on a narrow terminal."""
    return [
        Column("#", plain(row.rank for row in rows)),
        Column("strategy", plain(row.strategy for row in rows), justify="left"),
        Column("state", [state_cell(row.state) for row in rows], justify="left"),
        Column("net", [percent_cell(row.net_return_percent) for row in rows]),
        Column("equity USDT", plain(money(row.equity_usdt) for row in rows)),
        Column("trades", [trade_count(row) for row in rows]),
        Column("won", _dimmed(rows, percents(row.win_rate_percent for row in rows)), rank=1),
        Column("PF", _dimmed(rows, [_profit_factor(row) for row in rows]), rank=2),
        Column("USDT/trade", [gain_cell(row.expectancy_usdt) for row in rows], rank=4),
        Column("95 %", _dimmed(rows, [_interval(row) for row in rows]), rank=9),
        Column("Sharpe", optional((row.sharpe for row in rows), ".2f"), rank=3),
        Column("max DD", percents((row.max_drawdown_percent for row in rows), ".2f"), rank=1),
        Column("DD", percents((row.current_drawdown_percent for row in rows), ".2f"), rank=7),
        Column("fees", plain(money(row.fees_usdt) for row in rows), rank=5),
        Column("funding", [gain_cell(row.funding_usdt) for row in rows], rank=6),
        Column("slippage", plain(money(row.slippage_usdt) for row in rows), rank=8),
        Column("open", plain(row.open_positions for row in rows), rank=3),
        Column("equity", [sparkline(row.sparkline, SPARKLINE_COLUMNS) for row in rows], rank=4, justify="left"),
        *([Column("promised / actual", [_promise(row) for row in rows])] if any(row.promise for row in rows) else []),
    ]


def _promise(row: ArenaRow) -> Text:
    """Return the promised and the actual result, in the colour of an alarm if the strategy has drifted."""
    if not row.promise:
        return NOTHING
    return Text(row.promise.words, style=BAD if row.promise.drifts else "")


def _profit_factor(row: ArenaRow) -> Text:
    if row.profit_factor is None:
        return Text("no loss") if row.no_losses else NOTHING
    return Text(f"{row.profit_factor:.2f}")


def _interval(row: ArenaRow) -> Text:
    if row.expectancy_low_usdt is None or row.expectancy_high_usdt is None:
        return NOTHING
    return Text(f"{gain(row.expectancy_low_usdt)} to {gain(row.expectancy_high_usdt)}")


def _dimmed(rows: Sequence[ArenaRow], cells: Sequence[Text]) -> list[Text]:
    """Dim the cells that rest on few trades."""
    return [Text(cell.plain, style=QUIET if row.few_trades else "") for row, cell in zip(rows, cells, strict=True)]
