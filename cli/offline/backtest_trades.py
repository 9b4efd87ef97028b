"""The files of `papertape backtest --trades`: closed trades, and the positions that are still open at the end."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, TextIO

from papertape.cli.offline.output_files import whole_file
from papertape.projections.folds.trades import write_trades_csv

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from papertape.projections.folds.portfolio import PositionView
    from papertape.projections.folds.trades import TradeView

OPEN_COLUMNS = (
    "strategy",
    "symbol",
    "side",
    "quantity_base",
    "entry_time_ms",
    "entry_price_usdt",
    "mark_time_ms",
    "mark_price_usdt",
    "unrealised_usdt",
    "fees_usdt",
    "funding_usdt",
    "slippage_usdt",
    "stop_price_usdt",
    "target_price_usdt",
    "liquidation_price_usdt",
)


def open_path(trades: Path) -> Path:
    """Return the file of the open positions: `trades.open.csv` beside `trades.csv`."""
    return trades.with_name(f"{trades.stem}.open{trades.suffix}")


def write_trades(
    path: Path, trades: Sequence[TradeView], positions: Sequence[PositionView], marked_at_ms: Mapping[str, int]
) -> str:
    """Write the closed trades to `path` and open positions to the file beside it; return a note about open positions.

    `marked_at_ms` is the last close of each symbol. A file of open positions from an earlier run is overwritten even
    if nothing is open, so that both files always belong to the same run.
    """
    with whole_file("--trades", path) as file:
        write_trades_csv(file, trades)
    beside = open_path(path)
    written = bool(positions or beside.exists()) and path.is_file()
    if written:
        with whole_file("--trades", beside) as file:
            _write_open(file, positions, marked_at_ms)
    if not positions:
        return ""
    noun = "position is" if len(positions) == 1 else "positions are"
    place = f"; see {beside}" if written else ""
    return f"{len(positions):,} {noun} still open and not among the closed trades in {path}{place}"


def _write_open(file: TextIO, positions: Sequence[PositionView], marked_at_ms: Mapping[str, int]) -> None:
    """Write a header and a row for each position, with floats in their shortest exact form."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(OPEN_COLUMNS)
    for position in positions:
        cells = {name: getattr(position, name) for name in OPEN_COLUMNS if name != "mark_time_ms"}
        cells["mark_time_ms"] = marked_at_ms[position.symbol]
        writer.writerow([cells[name] for name in OPEN_COLUMNS])
