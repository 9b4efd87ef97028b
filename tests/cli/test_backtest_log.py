"""`backtest --log`: over the log of a paper run it makes the same trades, and two markets at once are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from papertape.cli.app import app
from papertape.events.facts import SignalReceived
from tests.engine.logs import of_type, story
from tests.engine.processes import ok
from tests.engine.test_signals import market

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system


def test_a_paper_run_with_signals_is_traded_again_from_its_log(tmp_path: Path) -> None:
    files = market(tmp_path)
    ok(tmp_path, "run", "--feed", "file", "--speed", "max", "--until-end", "--db", "paper.db", *files)
    again = ("backtest", "--log", "paper.db", "--engine", "python", "--config", "follow.toml")
    ok(tmp_path, *again, "--db", "again.db")
    assert story(tmp_path / "again.db") == story(tmp_path / "paper.db")
    ok(tmp_path, *again, "--symbol", "B", "--from", "2023-11-15T01:00", "--to", "2023-11-15T07:00", "--db", "part.db")
    assert {one.symbol for one in of_type(tmp_path / "part.db", SignalReceived) if isinstance(one, SignalReceived)} == {
        "B"
    }
    assert len(story(tmp_path / "part.db")) > 300


def test_two_markets_and_outputs_over_the_log_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "log.db").write_bytes(b"not a log")
    for arguments, words in {
        ("--log", "log.db", "--candles", "a.csv"): "--log and --candles name two markets",
        ("--log", "log.db", "--signals", "a.csv"): "--log and --signals name two markets",
        ("--symbol", "X"): "--symbol selects symbols of a log and needs --log",
        ("--log", "log.db", "--trades", "log.db"): "this file is also an input",
        ("--log", "log.db"): "is not a papertape log",
        ("--log", "none.db"): "there is no log at",
    }.items():
        done = CliRunner().invoke(app, ["backtest", *arguments], env={"COLUMNS": "200"})
        assert done.exit_code > 1
        assert words in done.output
