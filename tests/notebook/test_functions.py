"""The functions for notebooks give the numbers of the command line, the dashboard and the log."""

from __future__ import annotations

import csv
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import papertape as pt
from benchmarks import market
from papertape.events.errors import ConfigError, LogMissing, UsageError
from tests.engine.processes import ok

RISK = {"max_session_loss_percent": 100.0, "max_daily_loss_percent": 100.0, "global_max_loss_percent": 100.0}


@pytest.fixture(scope="module")
def candles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A week of simulated minutes as a file."""
    path = tmp_path_factory.mktemp("candles") / "btc.csv"
    market.write_csv(path, market.candles(7))
    return path


def run_of(source: Any, **options: Any) -> Any:
    return pt.backtest("momentum", source, engine="python", **options)


def test_a_file_and_its_frame_give_the_same_backtest(candles: Path) -> None:
    frame = pt.candles(candles)
    assert frame.columns == ["time", "open", "high", "low", "close", "volume"]
    of_file, of_frame = run_of(f"BTCUSDT={candles}", risk=RISK), run_of({"BTCUSDT": frame}, risk=RISK)
    assert of_file.trades.height > 3
    assert of_frame.trades.equals(of_file.trades)
    assert of_frame.equity.equals(of_file.equity)
    assert of_frame.readings.equals(of_file.readings)


def test_a_backtest_equals_the_command_and_the_log_that_it_writes(candles: Path, tmp_path: Path) -> None:
    trades, log = tmp_path / "trades.csv", tmp_path / "test.db"
    arguments = ["backtest", "--candles", f"BTCUSDT={candles}", "--strategy", "momentum", "--engine", "python"]
    ok(tmp_path, *arguments, "--from", "2025-01-03", "--trades", str(trades), "--db", str(log))
    run = run_of(f"BTCUSDT={candles}", start="2025-01-03")
    with trades.open() as file:
        rows = list(csv.DictReader(file))
    assert run.trades["net_usdt"].to_list() == [float(row["net_usdt"]) for row in rows]
    assert run.trades["entry_time"].dt.epoch("ms").to_list() == [int(row["entry_time_ms"]) for row in rows]

    opened = pt.open_log(log)
    assert opened.trades.equals(run.trades)
    assert opened.readings.equals(run.readings)
    same = [name for name in run.metrics.columns if name != "gross_exposure_percent"]  # A log alone samples it.
    assert opened.metrics.select(same).equals(run.metrics.select(same))
    assert opened.equity["equity_usdt"][-1] == run.equity["equity_usdt"][-1]
    assert opened.candles("BTCUSDT").equals(pt.candles(candles))
    assert pt.open_log(log, seq=2).trades.is_empty()


def test_drawdown_is_measured_from_the_highest_equity_so_far(candles: Path) -> None:
    run = run_of(f"BTCUSDT={candles}", risk=RISK)
    assert run.equity["drawdown_fraction"].min() == 0.0
    deepest = run.equity["drawdown_fraction"].max() * 100.0
    assert deepest == pytest.approx(run.metrics["max_drawdown_percent"][0], rel=1e-12)


def test_several_strategies_stand_in_one_frame_each_with_its_own_readings(candles: Path) -> None:
    run = pt.backtest(["momentum", "vwap_rsi"], f"BTCUSDT={candles}", engine="python", risk=RISK)
    assert run.metrics["strategy"].to_list() == ["momentum", "vwap_rsi"]
    assert set(run.equity["strategy"].unique()) == {"momentum", "vwap_rsi"}
    of_momentum = run.readings.filter(pl.col("strategy") == "momentum")
    assert of_momentum["highest"].null_count() == 0 and of_momentum["rsi"].null_count() == of_momentum.height


def test_an_own_file_and_its_parameters_run(candles: Path, tmp_path: Path) -> None:
    source = Path("engine/strategies/momentum.py").read_text().replace('NAME = "momentum"', 'NAME = "mine"')
    own = tmp_path / "mine.py"
    own.write_text(source)
    mine = pt.backtest(own, f"BTCUSDT={candles}", engine="python", parameters={"sl_percent": 0.5})
    theirs = run_of(f"BTCUSDT={candles}", parameters={"sl_percent": 0.5})
    assert mine.trades.drop("strategy").equals(theirs.trades.drop("strategy"))


def test_a_notebook_shows_curve_and_figures(candles: Path) -> None:
    run = run_of({"BTCUSDT": pt.candles(candles)}, end=datetime(2025, 1, 5, tzinfo=UTC))
    shown = run._repr_html_()
    assert shown.count("<polyline") == 1 and "momentum" in shown and "<td>" in shown
    assert "drawdown" in run.plot_drawdown().svg
    assert repr(run).startswith("backtest of BTCUSDT\n  momentum: ")


def test_frames_convert_to_pandas(candles: Path) -> None:
    trades = run_of(f"BTCUSDT={candles}").trades
    assert list(trades.to_pandas()["net_usdt"]) == trades["net_usdt"].to_list()


@pytest.mark.parametrize(
    ("strategy", "options", "error", "text"),
    [
        ("momentumm", {}, ConfigError, "'momentumm': neither a file nor one of vwap_rsi, momentum"),
        ("momentum", {"parameters": {"sl": 1.0}}, ConfigError, "momentum.sl is unknown"),
        ("momentum", {"risk": {"leverage": 1000.0}}, ConfigError, "risk: "),
        ("momentum", {"start": "yesterday"}, UsageError, "start 'yesterday': not a time"),
        (["momentum", "vwap_rsi"], {"parameters": {"sl_percent": 1.0}}, UsageError, "belong to one strategy"),
    ],
)
def test_mistakes_are_named(
    candles: Path, strategy: str | list[str], options: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error) as raised:
        pt.backtest(strategy, f"BTCUSDT={candles}", **options)
    assert text in str(raised.value)


def test_a_frame_without_a_symbol_or_a_time_is_refused_by_name() -> None:
    frame = pl.DataFrame({"close": [1.0]})
    with pytest.raises(UsageError, match=r"write \{'BTCUSDT': frame\}"):
        pt.backtest("momentum", frame)
    with pytest.raises(UsageError, match="candles of BTCUSDT: the frame needs the column 'time'; it has close"):
        pt.backtest("momentum", {"BTCUSDT": frame})
    with pytest.raises(LogMissing):
        pt.open_log("nowhere.db")


def test_the_package_alone_imports_nothing_heavy() -> None:
    program = "import sys, papertape; assert not {'polars', 'numpy', 'msgspec'} & set(sys.modules); papertape.nothing"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "has no attribute 'nothing'; there are backtest, candles, open_log, study, sweep" in done.stderr
