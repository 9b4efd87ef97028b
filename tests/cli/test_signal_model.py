"""The model of docs/signals.md writes files that backtests read, whatever library makes its forecasts."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from papertape.engine.feeds.files.signals_csv import read_signals
from papertape.events.facts import SignalReceived
from tests.build import CANDLE_HEADER, FIVE_MINUTES_MS, candle_rows, minutes, table
from tests.docs.blocks import blocks_of
from tests.engine.logs import of_type
from tests.engine.processes import ROOT, ok
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("numpy")
LEARNER = """
import numpy as np
class LogisticRegression:
    def fit(self, rows, risen):
        assert rows.shape == (len(risen), 12) and set(risen) == {False, True}
        return self
    def predict_proba(self, rows):
        rises = 1.0 / (1.0 + np.exp(-rows.sum(axis=1)))
        return np.column_stack([1.0 - rises, rises])
"""
"""A stand-in for scikit-learn, which is no dependency of papertape."""


def test_the_model_writes_a_forecast_at_the_close_of_each_candle(tmp_path: Path) -> None:
    (tmp_path / "sklearn").mkdir()
    (tmp_path / "sklearn" / "__init__.py").touch()
    (tmp_path / "sklearn" / "linear_model.py").write_text(LEARNER)
    (script,) = (one for one in blocks_of(ROOT / "docs" / "signals.md") if one.title == "model.py")
    assert script.text.count("\n") <= 30
    (tmp_path / "model.py").write_text(script.text)
    opens_ms = minutes(80, step_ms=FIVE_MINUTES_MS)
    rows = [row for place, open_ms in enumerate(opens_ms) for row in candle_rows([open_ms], 100.0 + place % 5)]
    candles = table(tmp_path, "binance_BTCUSDT_5m.csv.gz", CANDLE_HEADER, rows)
    subprocess.run([sys.executable, "model.py", candles.name, "up.csv"], cwd=tmp_path, check=True, timeout=PATIENCE_S)
    tables = read_signals([tmp_path / "up.csv"], ["BTCUSDT"])
    (series,) = tables.series
    assert (series.name, tables.refusals.total) == ("up", 0)
    assert list(series.columns.time_ms) == [open_ms + FIVE_MINUTES_MS for open_ms in opens_ms[52:]]
    assert all(0.0 < value < 1.0 for value in series.columns.value)
    ok(tmp_path, "backtest", "--candles", candles.name, "--signals", "up.csv", "--engine", "python", "--db", "log.db")

    assert len(of_type(tmp_path / "log.db", SignalReceived)) == 28
