"""Backtest = paper: `backtest --db` and `run` on the same files give the same events, trades and state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from papertape.events.facts import KillSwitchTripped, Liquidated, OrderPlaced, PositionClosed
from tests.engine.logs import digest, of_type, recorded, story, trades_csv
from tests.engine.processes import ok
from tests.support import needs_data, path_of

if TYPE_CHECKING:
    from pathlib import Path

YEAR, MONTH = "2024-12-31_2025-09-30", "2025-05-04_2025-06-24"
THREE = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
TIGHT = ("risk.max_session_loss_percent=2", "risk.global_max_loss_percent=1")
EAGER = (
    "vwap_rsi.vwap_deviation_entry=0.05", "vwap_rsi.volume_spike_multiplier=1", "vwap_rsi.trend_adx_threshold=60",
    "momentum.volume_confirmation_multiplier=1", "funding.extreme_positive_threshold=0.005",
    "funding.extreme_negative_threshold=-0.001", "funding.exit_threshold=0.0001",
)  # fmt: skip
MINUTES = ("--candles", str(path_of(f"binance_BTCUSDT_1m_{MONTH}.csv.gz")))
FIVE_MINUTES = (
    "--candles", *(str(path_of(f"binance_{symbol}_5m_{YEAR}.csv.gz")) for symbol in THREE),
    "--funding", *(str(path_of(f"binance_{symbol}_funding_{YEAR}.csv.gz")) for symbol in THREE),
)  # fmt: skip
WITH_INTEREST = (
    "--candles", str(path_of("binance_BTCUSDT_5m_2024-09-13_2024-09-18.csv.gz")),
    "--open-interest", str(path_of("binance_BTCUSDT_open_interest_5m_2024-09-13_2024-09-18.csv.gz")),
)  # fmt: skip
FACTS = ("liquidation.oi_change_threshold=0.3", "liquidation.zone_buffer_percent=3")

pytestmark = [needs_data, pytest.mark.system]


def both(folder: Path, files: tuple[str, ...], start: str, end: str, sets: tuple[str, ...]) -> tuple[Path, Path]:
    """The logs of the same market on paper and in a backtest."""
    limits = [f"feed.file.{name}={value}" for name, value in (("start", start), ("end", end)) if value]
    paper = ("run", "--feed", "file", "--speed", "max", "--until-end", "--db", "paper.db")
    ok(folder, *paper, *files, "--set", *limits, *sets)
    window = [word for option, value in (("--from", start), ("--to", end)) if value for word in (option, value)]
    made = ("backtest", "--engine", "python", "--db", "tape.db", "--trades", "tape.csv")
    ok(folder, *made, *files, *window, "--set", *sets)
    return folder / "paper.db", folder / "tape.db"


def assert_equal(paper: Path, tape: Path) -> None:
    assert story(paper) == story(tape)
    assert digest(paper) == digest(tape)
    assert trades_csv(paper) == trades_csv(tape) == tape.with_suffix(".csv").read_text()


def scopes(db: Path) -> set[str]:
    return {event.scope for event in of_type(db, KillSwitchTripped) if isinstance(event, KillSwitchTripped)}


def traders(db: Path) -> set[str]:
    return {event.strategy for event in of_type(db, OrderPlaced) if isinstance(event, OrderPlaced)}


def test_a_week_of_minutes_of_one_symbol(tmp_path: Path) -> None:
    paper, tape = both(tmp_path, MINUTES, "2025-05-06", "2025-05-14", (*TIGHT, *EAGER))
    assert_equal(paper, tape)
    assert scopes(paper) >= {"momentum"}
    assert len(of_type(paper, PositionClosed, Liquidated)) >= 20


def test_eleven_days_of_five_minutes_of_three_symbols_with_funding_and_every_switch(tmp_path: Path) -> None:
    paper, tape = both(tmp_path, FIVE_MINUTES, "2025-01-03", "2025-01-14", (*TIGHT, *EAGER))
    assert_equal(paper, tape)
    assert "global" in scopes(paper)
    assert traders(paper) >= {"vwap_rsi", "momentum", "funding"}


def test_a_market_with_open_interest_in_which_liquidation_trades(tmp_path: Path) -> None:
    paper, tape = both(tmp_path, WITH_INTEREST, "", "", FACTS)
    assert_equal(paper, tape)
    assert "liquidation" in traders(paper)
    assert len(recorded(paper)) > 1_000
