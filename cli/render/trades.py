"""`papertape trades`: the closed trades as a table or as JSON, and the trades and fills as CSV files."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from papertape.cli.arguments import TABLE_TRADES
from papertape.cli.kept_views import kept_views
from papertape.cli.log_reader import KnownNames, fold_log
from papertape.cli.render.console import (
    SIDES,
    Column,
    emit,
    fields_of,
    gain_cell,
    notes,
    plain,
    print_table,
    signed_cell,
    stderr,
    stdout,
)
from papertape.projections.folds.contracts import Contracts
from papertape.projections.folds.fills import write_fills_csv
from papertape.projections.folds.performance import FEW_TRADES
from papertape.projections.folds.trades import Trades, TradeView, write_trades_csv
from papertape.projections.text.formats import duration, gain, money, price, quantity, utc
from papertape.projections.text.reasons import reason_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from papertape.cli.log_reader import OpenedLog
    from papertape.events.facts import ContractListed
    from papertape.projections.folds.performance import TradeFigures

STDOUT = Path("-")
R = TypeVar("R")


class TradeListOptions(Struct, frozen=True):
    """The trades to show: of a strategy, of a symbol, the newest `limit`."""

    strategy: str | None = None
    symbol: str | None = None
    limit: int | None = None

    def words(self) -> str:
        """Return the selection in words: `of momentum on BTCUSDT`."""
        of = f" of {self.strategy}" if self.strategy else ""
        return f"{of} on {self.symbol}" if self.symbol else of


class TradeFiles(Struct, frozen=True):
    """The files to write in place of a table: the closed trades, and every fill."""

    trades: Path | None = None
    fills: Path | None = None


def show_trades(reader: OpenedLog, options: TradeListOptions, files: TradeFiles, *, as_json: bool) -> None:
    """Show the trades, or write them and their fills. Raise UsageError for an unknown name or an unwritable file."""
    with kept_views(reader) as views:
        names = KnownNames()
        if views is not None:
            fold, contracts, seq = views.trades, views.contracts, views.seq
            names.symbols = dict.fromkeys(data.symbol for data in views.coverage.data())
            names.strategies = dict.fromkeys(views.runners)
        else:
            fold, contracts = Trades(), Contracts()
            seq = fold_log(reader, [fold, names, contracts]).seq
        names.check(options.symbol, options.strategy)
        all_by_default = as_json or files.trades is not None
        limit = options.limit or (None if all_by_default else TABLE_TRADES)
        shown = _without_excursions(islice(fold.newest(options.strategy, options.symbol), limit))
        figures = fold.figures(options.strategy, options.symbol)
        fills = fold.fills(options.strategy, options.symbol) if files.fills is not None else ()
    if files.trades is not None:
        _write("--csv", files.trades, "trades", shown[::-1], write_trades_csv)
    if files.fills is not None:
        _write("--fills", files.fills, "fills", fills, write_fills_csv)
    if files != TradeFiles():
        return
    if as_json:
        emit([fields_of(trade) for trade in shown])
    elif shown:
        _print(shown, figures, options, contracts.by_symbol)
    else:
        notes(stdout(), [f"No closed trades{options.words()} in the log's {seq:,} events."])


def _without_excursions(trades: Iterable[TradeView]) -> list[TradeView]:
    """Return trades without how far they moved: without kept views, that takes a fold of every candle."""
    return [replace(one, best_usdt=None, worst_usdt=None) for one in trades]


def _write(
    option: str, path: Path, noun: str, rows: Sequence[R], write_csv: Callable[[TextIO, Iterable[R]], None]
) -> None:
    if path == STDOUT:
        write_csv(sys.stdout, rows)
        return
    from papertape.cli.offline.output_files import whole_file  # noqa: PLC0415 - only a file needs it.

    with whole_file(option, path) as file:
        write_csv(file, rows)
    stderr().print(f"{len(rows):,} {noun} written to {path}", markup=False)


def _print(
    shown: Sequence[TradeView],
    figures: TradeFigures,
    options: TradeListOptions,
    contracts: dict[str, ContractListed],
) -> None:
    console = stdout()
    title = f"Closed trades{options.words()}, newest first"
    hidden = print_table(_columns(shown, contracts), console, title)
    count = f"{len(shown):,} of {figures.trades:,} shown; all{options.words()}: net {gain(figures.net_usdt)} USDT"
    unknown = "? the order of fills within a candle is unknown: the worse one counts"
    doubt = unknown if any(t.ambiguous for t in shown) else ""
    few = f"fewer than {FEW_TRADES} trades: counts, not verdicts" if figures.few_trades else ""
    costs = f"fees {money(figures.fees_usdt)}, funding {gain(figures.funding_usdt)}"
    notes(console, [f"{count}, {costs}", few, doubt, hidden])


def _part_columns(trades: Sequence[TradeView]) -> list[Column]:
    """Return how many fills opened and closed each trade; nothing if each has one of both."""
    if all(len(trade.fills) <= 2 for trade in trades):
        return []
    counts = plain(f"{len(trade.fills) - trade.parts} in, {trade.parts} out" for trade in trades)
    return [Column("fills", counts, rank=3, justify="left")]


def _columns(trades: Sequence[TradeView], contracts: dict[str, ContractListed]) -> list[Column]:
    return [
        Column("closed UTC", plain(utc(t.exit_time_ms) for t in trades), justify="left"),
        Column("strategy", plain(t.strategy for t in trades), justify="left"),
        Column("symbol", plain(t.symbol for t in trades), justify="left"),
        Column("side", plain(SIDES[t.side] for t in trades), justify="left"),
        Column("quantity", plain(quantity(t.quantity_base, t.symbol, contracts) for t in trades), rank=4),
        Column("entry", plain(price(t.entry_price_usdt, t.symbol, contracts) for t in trades), rank=3),
        Column("exit", plain(price(t.exit_price_usdt, t.symbol, contracts) for t in trades), rank=3),
        Column(
            "why",
            plain(f"{reason_words(t.reason)}{' ?' if t.ambiguous else ''}" for t in trades),
            rank=1,
            justify="left",
        ),
        *_part_columns(trades),
        Column("held", plain(duration(t.holding_ms) for t in trades), rank=5),
        Column("gross", [gain_cell(t.gross_usdt) for t in trades], rank=7),
        Column("fees", plain(money(t.fees_usdt) for t in trades), rank=8),
        Column("funding", [gain_cell(t.funding_usdt) for t in trades], rank=9),
        Column("net USDT", [gain_cell(t.net_usdt) for t in trades]),
        Column("R", [signed_cell(t.r_multiple, "+.2f") for t in trades], rank=2),
        Column("seq", plain(f"{t.seq:,}" for t in trades), rank=6),
    ]
