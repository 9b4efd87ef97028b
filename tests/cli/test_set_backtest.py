"""The backtest of one set of a study: the same trades as in the study, as a log that every command reads."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec
import pytest

from papertape.projections.studies.reader import StudyFolder
from tests.cli.research_market import call, study_of, sweep_line, write_market

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a study of two sets."""
    found = tmp_path_factory.mktemp("recorded")
    write_market(found, days=3)
    assert study_of(call(*sweep_line(found, "--study", "first", "--json", vary=("sl_percent=0.4,0.8",))))
    return found


def backtest(folder: Path, *options: str) -> Result:
    """Record a set of the study."""
    config = ("--config", str(folder / "papertape.toml"))
    return call("study", "backtest", "first", "--engine", "python", *options, *config)


def test_the_log_has_the_result_of_the_study(folder: Path) -> None:
    studies = StudyFolder(folder / "data" / "studies")
    assert studies.study("first").log is None
    result = backtest(folder, "--set", "1")
    assert result.exit_code == 0, result.output
    log = studies.path / "first.backtest.db"
    assert f"papertape ui --port 0 --db {log}" in result.stdout.replace("\n", "")
    assert studies.study("first").log == str(log)
    assert studies.names() == ("first",), "the log is no study"

    [row] = msgspec.json.decode(call("arena", "--json", "--db", str(log)).stdout)
    told = studies.set_figures("first", 0, 1)
    assert told is not None
    assert told.trades > 0
    assert (row["strategy"], row["trades"]) == ("follower", told.trades)
    assert row["equity_usdt"] == pytest.approx(told.end_equity_usdt, abs=1e-9)


def test_what_cannot_be_recorded_is_refused_by_name(folder: Path, tmp_path: Path) -> None:
    elsewhere = ("--db", str(tmp_path / "set.db"))
    refused = [
        (backtest(folder, "--set", "2", *elsewhere), "--set 2: the study has no set with that number"),
        (backtest(folder, "--set", "0", "--db", str(folder / "x.csv")), "already exists"),
        (call("study", "backtest", "frist", "--config", str(folder / "papertape.toml")), "first"),
    ]
    for result, text in refused:
        assert result.exit_code == 2, result.output
        assert text in " ".join(result.stderr.split())
    assert not (tmp_path / "set.db").exists()


def test_without_a_chosen_set_one_must_be_named(folder: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(folder / "data" / "studies" / "first.db")) as connection, connection:
        none = ("UPDATE document SET content = replace(content, '\"chosen_set\":0', '\"chosen_set\":null')",)
        assert connection.execute(*none).rowcount == 1
    result = backtest(folder, "--db", str(tmp_path / "set.db"))
    assert result.exit_code == 2
    assert "has chosen no set; name one by --set NUMBER" in " ".join(result.stderr.split())
