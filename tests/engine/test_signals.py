"""Signals from a file: paper equals backtest in both engines, across kills, and every decision verifies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from papertape.events.facts import SignalReceived
from tests.build import CANDLE_HEADER, candle_rows, minutes, table
from tests.engine.logs import digest, of_type, recorded, story
from tests.engine.processes import kill_until_done, ok

if TYPE_CHECKING:
    from pathlib import Path

CANDLES = 700
NAMES = ("trend", "risk")


def market(folder: Path) -> tuple[str, ...]:
    """A market of two symbols with two signals each, several at every moment, some of them between candles."""
    folder.mkdir(exist_ok=True)
    files = [f"{one}={table(folder, f'{one}.csv', CANDLE_HEADER, candle_rows(minutes(CANDLES)))}" for one in "AB"]
    rows = [
        f"{open_ms + offset},{symbol},{name},{place % 7 - 3}"
        for place, open_ms in enumerate(minutes(CANDLES)[5:-5:5])
        for offset in (0, 20_000)
        for symbol in "BA"
        for name in NAMES
    ]
    signals = table(folder, "model.csv", "time_ms,symbol,name,value", rows)
    return ("--candles", *files, "--signals", str(signals))


def run(folder: Path, db: str) -> tuple[str, ...]:
    return ("run", "--feed", "file", "--speed", "max", "--until-end", "--json", "--db", db, *market(folder), "--set",
            "engine.snapshot_every_events=300")  # fmt: skip


def test_paper_equals_both_backtests_and_verifies(tmp_path: Path) -> None:
    ok(tmp_path, *run(tmp_path, "paper.db"))
    count = sum(2 * 2 * len(NAMES) for _ in range(len(range(5, CANDLES - 5, 5))))
    assert len(of_type(tmp_path / "paper.db", SignalReceived)) == count > 1_024, "more than ids are remembered"
    for engine in ("python", "compiled"):
        if engine == "compiled":
            pytest.importorskip("numba")
        ok(tmp_path, "backtest", "--engine", engine, "--db", f"{engine}.db", *market(tmp_path))
        assert story(tmp_path / f"{engine}.db") == story(tmp_path / "paper.db")
        assert digest(tmp_path / f"{engine}.db") == digest(tmp_path / "paper.db")
    assert "every decision is the same" in ok(tmp_path, "verify", "--db", "paper.db")


def test_a_run_that_is_killed_takes_every_signal_once(tmp_path: Path) -> None:
    ok(tmp_path, *run(tmp_path, "whole.db"))
    (tmp_path / "killed").mkdir()
    kill_until_done(tmp_path / "killed", 5, 6, *run(tmp_path / "killed", "log.db"))
    killed = tmp_path / "killed" / "log.db"
    assert story(killed) == story(tmp_path / "whole.db")
    assert digest(killed) == digest(tmp_path / "whole.db")
    assert len(recorded(killed)) > 2 * CANDLES
