"""`papertape trades`: the closed trades, as a table, as JSON or as a CSV file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from rich.text import Text

from papertape.cli.commands.inspect import TABLE_TRADES
from papertape.cli.log_reader import KnownNames, fold_log
from papertape.cli.offline.output_files import whole_file
from papertape.cli.render.console import (
    Column,
    emit,
    fields_of,
    gain_cell,
    notes,
    plain,
    signed_cell,
    stderr,
    stdout,
    table,
)
from papertape.projections.folds.contracts import Contracts
from papertape.projections.folds.performance import FEW_TRADES, trade_figures
from papertape.projections.folds.trades import Trades, TradeView, write_trades_csv
from papertape.projections.text.formats import duration, gain, money, price, quantity, utc
from papertape.projections.text.reasons import reason_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.events.facts import ContractListed
    from papertape.events.sqlite_log import SqliteLogReader

STDOUT = Path("-")
_SIDES = {"long": "▲ long", "short": "▼ short"}


class TradeListOptions(Struct, frozen=True):
    """Which trades: of a strategy, on a symbol, the newest so many."""

    strategy: str | None = None
    symbol: str | None = None
    limit: int | None = None

    def words(self) -> str:
        """`of momentum on BTCUSDT`."""
        of = f" of {self.strategy}" if self.strategy else ""
        return f"{of} on {self.symbol}" if self.symbol else of


def show_trades(reader: SqliteLogReader, chosen: TradeListOptions, csv: Path | None, *, as_json: bool) -> None:
    """Show or write the trades. Raises UsageError for an unknown name, and for a file that cannot be written."""
    trades, names, contracts = Trades(), KnownNames(), Contracts()
    head = fold_log(reader, [trades, names, contracts])
    names.check(chosen.symbol, chosen.strategy)
    found = trades.closed(chosen.strategy, chosen.symbol)
    if csv is not None:
        _write(csv, _newest(found, chosen.limit))
    elif as_json:
        emit([fields_of(trade) for trade in reversed(_newest(found, chosen.limit))])
    elif found:
        _print(found, _newest(found, chosen.limit or TABLE_TRADES), chosen, contracts.by_symbol)
    else:
        notes(stdout(), [f"No closed trades{chosen.words()} in the {head.seq:,} events of the log."])


def _newest(trades: Sequence[TradeView], limit: int | None) -> Sequence[TradeView]:
    return trades if limit is None else trades[-limit:]


def _write(path: Path, trades: Sequence[TradeView]) -> None:
    if path == STDOUT:
        write_trades_csv(sys.stdout, trades)
        return
    with whole_file("--csv", path) as file:
        write_trades_csv(file, trades)
    stderr().print(f"{len(trades):,} trades written to {path}", markup=False)


def _print(
    found: Sequence[TradeView],
    shown: Sequence[TradeView],
    chosen: TradeListOptions,
    contracts: dict[str, ContractListed],
) -> None:
    console = stdout()
    title = f"Closed trades{chosen.words()}, newest first"
    made, left_out = table(_columns(list(reversed(shown)), contracts), console, title)
    console.print(made)
    figures = trade_figures(found)
    count = f"{len(shown):,} of {len(found):,} shown; all{chosen.words()}: net {gain(figures.net_usdt)} USDT"
    doubt = "? stop and target lay in one candle: the stop was taken" if any(t.ambiguous for t in shown) else ""
    few = f"fewer than {FEW_TRADES} trades: counts, not verdicts" if figures.few_trades else ""
    notes(
        console,
        [f"{count}, fees {money(figures.fees_usdt)}, funding {gain(figures.funding_usdt)}", few, doubt, left_out],
    )


def _columns(trades: Sequence[TradeView], contracts: dict[str, ContractListed]) -> list[Column]:
    return [
        Column("closed UTC", plain(utc(t.exit_time_ms) for t in trades), justify="left"),
        Column("strategy", plain(t.strategy for t in trades), justify="left"),
        Column("symbol", plain(t.symbol for t in trades), justify="left"),
        Column("side", plain(_SIDES[t.side] for t in trades), justify="left"),
        Column("quantity", plain(quantity(t.quantity_base, t.symbol, contracts) for t in trades), rank=4),
        Column("entry", plain(price(t.entry_price_usdt, t.symbol, contracts) for t in trades), rank=3),
        Column("exit", plain(price(t.exit_price_usdt, t.symbol, contracts) for t in trades), rank=3),
        Column("why", [_reason(t) for t in trades], rank=1, justify="left"),
        Column("held", plain(duration(t.holding_ms) for t in trades), rank=5),
        Column("gross", [gain_cell(t.gross_usdt) for t in trades], rank=7),
        Column("fees", plain(money(t.fees_usdt) for t in trades), rank=8),
        Column("funding", [gain_cell(t.funding_usdt) for t in trades], rank=9),
        Column("net USDT", [gain_cell(t.net_usdt) for t in trades]),
        Column("R", [signed_cell(t.r_multiple, "+.2f") for t in trades], rank=2),
        Column("seq", plain(f"{t.seq:,}" for t in trades), rank=6),
    ]


def _reason(trade: TradeView) -> Text:
    return Text(f"{reason_words(trade.reason)}{' ?' if trade.ambiguous else ''}")
