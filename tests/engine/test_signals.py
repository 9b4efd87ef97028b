"""Signals from a file: paper equals backtest in both engines, across kills, and every decision verifies."""

from __future__ import annotations

from shutil import copy
from typing import TYPE_CHECKING

import pytest

from papertape.events.facts import OrderPlaced, PositionClosed, SignalReceived
from tests.build import CANDLE_HEADER, candle_rows, minutes, table
from tests.engine.logs import of_type, recorded, story
from tests.engine.processes import ROOT, kill_until_done, ok

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

CANDLES = 700
NAMES = ("trend", "risk")
EXAMPLE = ROOT / "examples" / "strategies" / "follow_signals.py"
CONFIG = """
[engine]
snapshot_every_events = 300
[strategies]
folders = ["strategies"]
enabled = ["follow_signals"]
[risk]
max_session_loss_percent = 100
max_daily_loss_percent = 100
global_max_loss_percent = 100
"""


def market(folder: Path) -> tuple[str, ...]:
    """A market of two symbols with two signals each, several at every moment, some of them between candles."""
    files = [f"{one}={table(folder, f'{one}.csv', CANDLE_HEADER, candle_rows(minutes(CANDLES)))}" for one in "AB"]
    rows = [
        f"{open_ms + offset},{symbol},{name},{place % 7 - 3}"
        for place, open_ms in enumerate(minutes(CANDLES)[5:-5:5])
        for offset in (0, 20_000)
        for symbol in "BA"
        for name in NAMES
    ]
    signals = table(folder, "model.csv", "time_ms,symbol,name,value", rows)
    (folder / "follow.toml").write_text(CONFIG)
    (folder / "strategies").mkdir(exist_ok=True)
    copy(EXAMPLE, folder / "strategies")
    return ("--candles", *files, "--signals", str(signals), "--config", "follow.toml")


def run(folder: Path, db: str) -> tuple[str, ...]:
    return ("run", "--feed", "file", "--speed", "max", "--until-end", "--json", "--db", db, *market(folder))


def digest(folder: Path, db: str) -> str:
    return ok(folder, "replay", "--digest", "--db", db, "--config", "follow.toml")


def test_paper_equals_both_backtests_and_verifies(tmp_path: Path) -> None:
    ok(tmp_path, *run(tmp_path, "paper.db"))
    paper = tmp_path / "paper.db"
    assert len(of_type(paper, SignalReceived)) > 1_024, "more than ids are remembered"
    assert len(of_type(paper, PositionClosed)) > 20
    for engine in ("python", "compiled"):
        if engine == "compiled":
            pytest.importorskip("numba")
            from tests.research.ways import compile_shared  # noqa: PLC0415 - belongs to an extra

            compile_shared()
        ok(tmp_path, "backtest", "--engine", engine, "--db", f"{engine}.db", *market(tmp_path))
        assert story(tmp_path / f"{engine}.db") == story(paper)
        assert digest(tmp_path, f"{engine}.db") == digest(tmp_path, "paper.db")
    verified = ok(tmp_path, "verify", "--db", "paper.db", "--config", "follow.toml")
    assert "every decision is the same" in verified


def test_a_run_that_is_killed_takes_every_signal_once(tmp_path: Path) -> None:
    ok(tmp_path, *run(tmp_path, "whole.db"))
    (tmp_path / "killed").mkdir()
    kill_until_done(tmp_path / "killed", 5, 6, *run(tmp_path / "killed", "log.db"))
    killed = tmp_path / "killed" / "log.db"
    assert story(killed) == story(tmp_path / "whole.db")
    assert digest(tmp_path / "killed", "log.db") == digest(tmp_path, "whole.db")
    assert len(recorded(killed)) > 2 * CANDLES and of_type(killed, OrderPlaced)
