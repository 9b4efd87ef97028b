"""`backtest --fills` and `--trades` write what the second implementation says, column by column."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import pytest

from tests.engine.processes import ok
from tests.reducer.random_market import Recipe
from tests.support import NO_LIMITS

from .account import COLUMNS
from .dictation import Dictation
from .engine_runs import FOLDER
from .simulate import simulate
from .tapes import dictated_market, rows_of, settings_of

if TYPE_CHECKING:
    from pathlib import Path

OFF = [f"risk.{name}=100" for name in ("max_session_loss_percent", "max_daily_loss_percent", "global_max_loss_percent")]


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV by column."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_files_of_a_backtest(tmp_path: Path) -> None:
    rows = rows_of(dictated_market(Recipe(7, symbols=2, candles=300)))
    texts = {
        symbol: [(t, *(str(x) for x in values), volume) for t, *values, volume, _ in table]
        for symbol, table in rows.items()
    }
    arguments = []
    for symbol, table in texts.items():
        path = tmp_path / f"{symbol}.csv"
        lines = ["open_time_ms,open,high,low,close,volume", *(",".join(map(str, row)) for row in table)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        arguments.append(f"{symbol}={path}")
    (tmp_path / "papertape.toml").write_text(f"[strategies]\nfolders = ['{FOLDER}']\n", encoding="utf-8")
    files = ("--fills", "fills.csv", "--trades", "trades.csv")
    ok(
        tmp_path,
        "backtest",
        "--candles",
        *arguments,
        "--strategy",
        "dictated",
        "--set",
        *OFF,
        "--engine",
        "python",
        *files,
    )
    log = simulate(texts, Dictation(), settings=settings_of(NO_LIMITS), units_max=5.0, strategy="dictated").log
    assert len(log.fills) > 50
    written = read(tmp_path / "fills.csv")
    assert tuple(written[0]) == COLUMNS
    assert written == [{name: str(value) for name, value in fill.items()} for fill in log.fills]
    check_trades(read(tmp_path / "trades.csv"), log.trades)


def check_trades(written: list[dict[str, str]], trades: list[dict[str, object]]) -> None:
    """Compare the trades CSV; sums over parts may differ in their last bits."""
    assert list(written[0]) == list(trades[0])
    assert len(written) == len(trades)
    for line, trade in zip(written, trades, strict=True):
        for name, value in trade.items():
            if isinstance(value, float):
                assert float(line[name]) == pytest.approx(value, rel=1e-9, abs=1e-9), name
            else:
                assert line[name] == str(value), name
