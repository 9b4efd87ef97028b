"""A log whose file is missing: no new log replaces it unless the owner says so."""

from __future__ import annotations

import json
import os
import shutil
import signal
from typing import TYPE_CHECKING

import pytest

from papertape.cli.keeper.status_board import BOARD_FD, new_board
from papertape.engine.backup import list_backups
from papertape.engine.leftover_files import reject_leftovers
from papertape.events.beside import real_path
from papertape.events.errors import LogGone
from tests.backup.test_restore import SIM, back_up, play
from tests.cli.test_up import UP
from tests.engine.logs import recorded
from tests.engine.processes import command, environment, ok, papertape, running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.system

DAY = (*SIM, "--set", "feed.sim.days=1")


@pytest.fixture(scope="module")
def one_day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a log, what lies beside it, a backup and an export."""
    folder = tmp_path_factory.mktemp("day")
    play(folder, 1)
    back_up(folder)
    ok(folder, "export", "--db", "log.db", "--out", "day.jsonl")
    return folder


@pytest.fixture
def gone(one_day: Path, tmp_path: Path) -> Path:
    """The same without the log's file."""
    folder = tmp_path / "gone"
    shutil.copytree(one_day, folder)
    (folder / "log.db").unlink()
    return folder


def only_head(folder: Path) -> None:
    shutil.rmtree(folder / "backups")
    shutil.rmtree(folder / "log.db.snapshots")


def only_snapshots(folder: Path) -> None:
    shutil.rmtree(folder / "backups")
    (folder / "log.db.head").unlink()


def only_backups(folder: Path) -> None:
    shutil.rmtree(folder / "log.db.snapshots")
    (folder / "log.db.head").unlink()


def only_folds(folder: Path) -> None:
    only_snapshots(folder)
    (folder / "log.db.snapshots").rename(folder / "log.db.folds")


def an_aborted_restore(folder: Path) -> None:
    only_snapshots(folder)
    (folder / "log.db.snapshots").rename(folder / "log.db.restoring")


def an_empty_file(folder: Path) -> None:
    (folder / "log.db").touch()


@pytest.mark.parametrize(
    "leave", [only_head, only_snapshots, only_backups, only_folds, an_aborted_restore, an_empty_file]
)
def test_whatever_is_left_of_a_log_is_reason_enough(gone: Path, leave: Callable[[Path], None]) -> None:
    leave(gone)
    with pytest.raises(LogGone, match=r"remains of one exist: .* papertape restore .* or go on"):
        reject_leftovers(gone / "log.db", gone / "backups", "go on")


def test_a_first_start_that_was_killed_leaves_nothing_that_stops_the_next(tmp_path: Path) -> None:
    for name in ("log.db.lock", "log.db.sock", "log.db.alerts.log", "other.db.head"):
        (tmp_path / name).touch()
    (tmp_path / "log.db.snapshots").mkdir()
    reject_leftovers(tmp_path / "log.db", tmp_path / "backups", "")


def test_every_verb_that_makes_a_log_refuses_and_says_how_to_go_on(gone: Path) -> None:
    before = sorted(gone.rglob("*"))
    candles = gone.parent / "X_1m.csv"
    rows = "".join(f"{1735689600000 + 60_000 * n},100,101,99,100,1\n" for n in range(20))
    candles.write_text(f"open_time_ms,open,high,low,close,volume\n{rows}")
    for verb in (
        DAY,
        UP,
        ("import", "day.jsonl", "--db", "log.db"),
        ("backtest", "--candles", f"X={candles}", "--db", "log.db"),
    ):
        done = papertape(gone, *verb)
        assert (done.returncode, done.stdout) == (2, ""), verb[0]
        assert done.stderr.startswith("error: there is no log at log.db, but remains of one exist: log.db.head, "), (
            verb[0]
        )
        assert "papertape restore backups/log.db-" in done.stderr, verb[0]
        assert ("--new-log" in done.stderr) is (verb[0] in ("run", "up")), verb[0]
    assert sorted(gone.rglob("*")) == before


def test_a_restore_brings_it_back(gone: Path, one_day: Path) -> None:
    [copy] = list_backups(gone / "backups", "log.db")
    ok(gone, "restore", str(copy.path), "--db", "log.db", "--new-epoch", "--why", "the file is gone")
    ok(gone, *DAY)
    assert recorded(gone / "log.db")[: copy.seq] == recorded(one_day / "log.db")[: copy.seq]


def test_a_new_log_moves_the_remains_aside_and_deletes_nothing(gone: Path) -> None:
    kept = {path.name for path in gone.rglob("*") if path.is_file() and not path.name.endswith(".lock")}
    ok(gone, *DAY, "--new-log")
    aside = [*gone.glob("log.db.replaced-*"), *(gone / "backups").glob("log.db.replaced-*")]
    assert len(aside) == 2
    left = {path.name for folder in aside for path in folder.rglob("*")} | {"day.jsonl", "told.jsonl"}
    assert kept <= left
    before = recorded(gone / "log.db")
    ok(gone, *DAY, "--new-log")
    assert recorded(gone / "log.db")[: len(before)] == before, "a log that is there goes on"
    assert len(list(gone.glob("log.db.replaced-*"))) == 1


def test_a_link_whose_disk_is_not_mounted_begins_no_log(tmp_path: Path) -> None:
    (tmp_path / "log.db").symlink_to(tmp_path / "disk" / "log.db")
    done = papertape(tmp_path, *DAY)
    assert done.returncode == 2
    assert "is its disk mounted?" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["log.db"]
    (tmp_path / "disk").mkdir()
    assert papertape(tmp_path, *DAY).returncode == 2, "the place of a disk is there without the disk"
    ok(tmp_path, *DAY, "--new-log")
    assert (tmp_path / "disk" / "log.db").stat().st_size > 0
    assert json.loads(ok(tmp_path, "backup", "--db", "log.db", "--json"))["path"].startswith(str(tmp_path / "disk"))
    assert {path.name for path in tmp_path.iterdir()} == {"log.db", "disk"}
    assert real_path(tmp_path / "log.db") == tmp_path / "disk" / "log.db"


def test_two_names_of_one_log_never_have_two_engines(tmp_path: Path) -> None:
    (tmp_path / "alias.db").symlink_to(tmp_path / "log.db")
    with running(tmp_path, "run", *UP[1:5], "--json", until="EngineStarted"):
        other = papertape(tmp_path, "run", "--config", UP[2], "--db", "alias.db", "--json")
        assert other.returncode == 3
        told = ok(tmp_path, "pause", "momentum", "--why", "by its other name", "--db", "alias.db")
        assert "accepted by the running engine" in told


def test_an_engine_whose_disk_disappeared_creates_no_log_on_the_remains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keeper has seen the log; where its folder is empty now, the disk under it is gone."""
    monkeypatch.chdir(tmp_path)
    board = new_board()
    board.write("log", "log.db")
    pid = os.posix_spawn(
        command()[0],
        command(*DAY),
        environment(PAPERTAPE_KEEPER=str(os.getpid()), PAPERTAPE_BOARD_SLOT="engine"),
        file_actions=[(os.POSIX_SPAWN_DUP2, board.descriptor, BOARD_FD)],
        setsigdef=[signal.SIGPIPE],
    )
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 2
    assert "is its disk mounted?" in board.read("engine")
    os.close(board.descriptor)
