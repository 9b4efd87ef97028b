"""A backup that failed or was killed is seen by the engine, whoever made it, until the next good one."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from papertape.cli.offline.backup import back_up
from papertape.cli.service.backup_schedule import failure_words
from papertape.engine.backup_attempts import FORGET_MS, KILLED, SUFFIX, failed_attempts, recorded_attempt
from papertape.engine.ports.clock import SystemClock
from papertape.events.errors import BackupFailed, LogError
from tests.engine.processes import ROOT, ok

if TYPE_CHECKING:
    from pathlib import Path

NOW_MS = 1_767_225_600_000
RUNS = """
import sys
from pathlib import Path
from papertape.engine.backup_attempts import recorded_attempt
with recorded_attempt(Path(sys.argv[1]), Path(sys.argv[2]), lambda: int(sys.argv[3]), print):
    print("runs", flush=True)
    sys.stdin.read()
"""


def attempt(db: Path, to: Path, at_ms: int = NOW_MS, failure: str = "") -> list[str]:
    warned: list[str] = []
    db.touch()
    with recorded_attempt(db, to, lambda: at_ms, warned.append):
        if failure:
            raise BackupFailed(failure)
    return warned


def test_a_failure_stands_until_the_next_good_one_and_names_the_last_good_one(tmp_path: Path) -> None:
    db, disk, other = tmp_path / "log.db", tmp_path / "disk", tmp_path / "other"
    attempt(db, disk)
    attempt(db, other)
    assert failed_attempts(db, NOW_MS) == []
    with pytest.raises(BackupFailed):
        attempt(db, disk, NOW_MS + 1_000, "no room")
    assert failure_words(db, NOW_MS) == {
        str(disk): "BackupFailed: no room; the last good one ended 2026-01-01 00:00 UTC"
    }
    attempt(db, other, NOW_MS + 2_000)
    assert list(failure_words(db, NOW_MS)) == [str(disk)], "a good one elsewhere does not hide it"
    attempt(db, disk, NOW_MS + 3_000)
    assert failure_words(db, NOW_MS) == {}


def test_a_killed_one_is_seen_as_soon_as_it_is_gone_and_not_while_it_runs(tmp_path: Path) -> None:
    db, disk = tmp_path / "log.db", tmp_path / "disk"
    db.touch()
    process = subprocess.Popen(
        [sys.executable, "-c", RUNS, str(db), str(disk), str(NOW_MS)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "runs\n"
        assert failed_attempts(db, NOW_MS) == []
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert failure_words(db, NOW_MS) == {str(disk): f"{KILLED}; the last good one ended never"}


def test_the_command_records_what_it_does(tmp_path: Path) -> None:
    db = tmp_path / "log.db"
    run = ("run", "--feed", "sim", "--until-end", "--set", "feed.sim.days=1", "--set", "feed.sim.symbols=BTCUSDT")
    ok(tmp_path, *run, "--speed", "max", "--db", str(db))
    (tmp_path / "file").touch()
    with pytest.raises(LogError):
        back_up(db, None, tmp_path / "file", None, full=False, as_json=True)
    [failed] = failed_attempts(db, SystemClock().now_ms())
    assert failed.failure.startswith("LogError: no backup in")
    assert failed.good_at_ms == 0


def test_a_destination_that_nobody_uses_any_more_is_forgotten(tmp_path: Path) -> None:
    db = tmp_path / "log.db"
    with pytest.raises(BackupFailed):
        attempt(db, tmp_path / "disk", failure="gone")
    assert failed_attempts(db, NOW_MS + FORGET_MS - 1)
    assert failed_attempts(db, NOW_MS + FORGET_MS) == []


def test_a_record_that_cannot_be_read_or_written_stops_no_backup(tmp_path: Path) -> None:
    db, disk = tmp_path / "log.db", tmp_path / "disk"
    attempt(db, disk)
    [record] = (tmp_path / f"log.db{SUFFIX}").iterdir()
    record.write_bytes(b"{broken")
    assert failed_attempts(db, NOW_MS) == []
    attempt(db, disk)
    (tmp_path / f"two.db{SUFFIX}").write_text("a file where a folder should be")
    assert attempt(tmp_path / "two.db", disk) == ["the backup is made, but not recorded beside the log: File exists"]
