"""An output never overwrites an input, nor what an engine keeps beside a log, whether or not that is there now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from papertape.cli.offline.output_files import log_files
from tests.cli.test_backtest import candles, refused
from tests.cli.test_inspect_commands import run
from tests.cli.written_log import write_log
from tests.engine.processes import papertape, running

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

PACED = ("run", "--feed", "sim", "--json", "--db", "log.db", "--speed", "60", "--set", "feed.sim.warm_up_days=0")


@pytest.mark.parametrize("option", ["--csv", "--fills"])
def test_trades_are_not_written_over_a_part_of_their_log(tmp_path: Path, option: str) -> None:
    db = write_log(tmp_path / "d.db")
    parts = [tmp_path / "d.db.snapshots" / "t.csv", tmp_path / "d.db.sealed" / "000000000001.segment"]
    for part in parts:
        part.parent.mkdir(exist_ok=True)
    before = {path: path.read_bytes() for path in tmp_path.glob("d.db*") if path.is_file()}
    for path in (*log_files(db), *parts):
        done = run("trades", "--db", db, option, path)
        assert (done.exit_code, "this file is also an input" in done.stderr) == (2, True), path
    assert {path: path.read_bytes() for path in tmp_path.glob("d.db*") if path.is_file()} == before


def test_a_table_whose_name_begins_like_the_log_s_is_written_again_and_again(tmp_path: Path) -> None:
    write_log(tmp_path / "d.db")
    for _ in range(2):
        assert run("trades", "--db", tmp_path / "d.db", "--csv", tmp_path / "d.db.csv").exit_code == 0


@pytest.mark.parametrize("option", ["--trades", "--fills"])
@pytest.mark.parametrize("suffix", ["", ".head"])
def test_a_backtest_writes_no_table_over_its_new_log_or_the_configured_one(
    tmp_path: Path, option: str, suffix: str
) -> None:
    (tmp_path / "papertape.toml").write_text("[engine]\ndb = 'live.db'\n")
    arguments = ("backtest", "--engine", "python", "--candles", f"X={candles(tmp_path / 'x.csv', 20, {})}")
    line = refused(tmp_path, 2, *arguments, "--db", "new.db", option, f"new.db{suffix}")
    assert line == f"error: {option} new.db{suffix}: another option writes this file"
    line = refused(tmp_path, 2, *arguments, option, f"live.db{suffix}")
    assert line == f"error: {option} live.db{suffix}: this file is also an input"
    assert not list(tmp_path.glob("*.db*"))


def test_everything_that_an_engine_keeps_beside_its_log_is_known(tmp_path: Path) -> None:
    with running(tmp_path, *PACED, until="EngineStarted"):
        known = set(log_files(tmp_path / "log.db"))
        assert set(tmp_path.glob("log.db*")) <= known
    papertape(tmp_path, "verify", "--db", "log.db")
    assert set(tmp_path.glob("log.db*")) <= known
