"""The engine schedules backups when the newest is too old, in a separate process, and retries failed ones."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import pytest

from papertape.cli.service.backup_schedule import BackupSchedule
from papertape.engine.backup import list_backups
from papertape.engine.ports.clock import ManualClock
from papertape.events.bus import Bus

if TYPE_CHECKING:
    from pathlib import Path

START_MS = 1_767_225_600_000
HOUR_S = 3_600
MAKE = """
import sys, time
from pathlib import Path
folder = Path(sys.argv[1])
count = len(list(folder.iterdir()))
stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(float((folder / "now").read_text())))
(folder / f"log.db-{stamp}-{count:012d}.backup").touch()
"""
FAIL = "import sys; sys.stderr.write('error: the disk is full'); sys.exit(1)"


class Hours(ManualClock):
    """Time that stops the bus after so many hours, and is written down where the process reads it."""

    def __init__(self, folder: Path, bus: Bus, hours: int, ahead_h: int) -> None:
        super().__init__(START_MS + ahead_h * HOUR_S * 1_000)
        self._folder, self._bus, self._ahead_h = folder, bus, ahead_h
        self._left_s: float = hours * HOUR_S

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        self._left_s -= seconds
        if self._ahead_h:  # Somebody sets the clock right.
            self.advance(-self._ahead_h * HOUR_S)
            self._ahead_h = 0
        (self._folder / "now").write_text(str(self.now_ms() / 1_000.0))
        if self._left_s <= 0:
            self._bus.close()


def watched(folder: Path, script: str, hours: int, ahead_h: int = 0) -> tuple[BackupSchedule, list[str]]:
    async def run() -> tuple[BackupSchedule, list[str]]:
        bus, said = Bus(), list[str]()
        command = [sys.executable, "-S", "-c", script, str(folder)]
        backing = BackupSchedule(
            folder / "log.db", folder, 24.0, command, bus, Hours(folder, bus, hours, ahead_h), said.append
        )
        await backing.run()
        return backing, said

    return asyncio.run(run())


def test_one_is_made_soon_after_the_start_and_then_one_a_day(tmp_path: Path) -> None:
    backing, said = watched(tmp_path, MAKE, hours=50)
    hours = [(backup.at_ms - START_MS) / 3_600_000 for backup in list_backups(tmp_path, "log.db")]
    assert said == []
    assert [round(hour) for hour in hours] == [0, 24, 48]
    assert backing.age_s() == pytest.approx((50 - hours[-1]) * HOUR_S)


def test_one_that_fails_is_warned_of_and_tried_again_after_an_hour(tmp_path: Path) -> None:
    backing, said = watched(tmp_path, FAIL, hours=5)
    assert len(said) == 5
    assert "the disk is full" in said[0]
    assert backing.age_s() == 5 * HOUR_S


def test_a_newer_one_made_by_hand_counts(tmp_path: Path) -> None:
    (tmp_path / "log.db-20260101T000000Z-000000000007.backup").touch()
    watched(tmp_path, MAKE, hours=23)
    assert len(list_backups(tmp_path, "log.db")) == 1


def test_in_the_first_hour_the_age_is_not_reported(tmp_path: Path) -> None:
    backing, _ = watched(tmp_path, MAKE, hours=0)
    assert backing.age_s() is None


def test_one_that_is_killed_is_no_success(tmp_path: Path) -> None:
    backing, said = watched(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)", hours=5)
    assert said == ["no backup: it was killed by SIGKILL; retrying in 60 minutes"] * 5
    assert backing.age_s() == 5 * HOUR_S


def test_one_that_ends_well_without_a_backup_is_no_success(tmp_path: Path) -> None:
    _, said = watched(tmp_path, "", hours=5)
    assert said == ["no backup: the command succeeded, but made no new backup; retrying in 60 minutes"] * 5


def test_what_killed_ones_left_is_removed_at_the_start_and_after_a_failure(tmp_path: Path) -> None:
    (tmp_path / ".proving-before").mkdir()
    (tmp_path / ".proving-before" / "copy").write_text("half a log")
    leave = "import os, sys; from pathlib import Path; (Path(sys.argv[1]) / '.proving-now').mkdir(); os.abort()"
    _, said = watched(tmp_path, leave, hours=1)
    assert len(said) == 1
    assert list(tmp_path.glob(".proving-*")) == []


def test_one_that_a_wrong_clock_dated_into_the_future_stops_none(tmp_path: Path) -> None:
    future = tmp_path / "log.db-20990101T000000Z-000000000007.backup"
    future.touch()
    backing, said = watched(tmp_path, MAKE, hours=50)
    hours = [
        round((one.at_ms - START_MS) / 3_600_000) for one in list_backups(tmp_path, "log.db") if one.path != future
    ]
    assert (hours, said) == ([0, 24, 48], [])
    assert backing.age_s() == pytest.approx(2 * HOUR_S, abs=HOUR_S)


def test_a_clock_that_is_set_back_stops_none(tmp_path: Path) -> None:
    watched(tmp_path, MAKE, hours=50, ahead_h=24 * 365)
    hours = [round((one.at_ms - START_MS) / 3_600_000) for one in list_backups(tmp_path, "log.db")]
    assert hours == [0, 24, 48]
