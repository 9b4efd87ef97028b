"""Backups that the engine asks for: when the newest is old enough, in a process of their own, again after a failure."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import pytest

from cli.backing import Backing
from engine.backup import backups
from engine.clock import ManualClock
from events.bus import Bus

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

    def __init__(self, folder: Path, bus: Bus, hours: int) -> None:
        super().__init__(START_MS)
        self._folder, self._bus, self._until_ms = folder, bus, START_MS + hours * HOUR_S * 1_000

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        (self._folder / "now").write_text(str(self.now_ms() / 1_000.0))
        if self.now_ms() >= self._until_ms:
            self._bus.close()


def watched(folder: Path, script: str, hours: int) -> tuple[Backing, list[str]]:
    async def run() -> tuple[Backing, list[str]]:
        bus, said = Bus(), []
        command = [sys.executable, "-S", "-c", script, str(folder)]
        backing = Backing(folder / "log.db", folder, 24.0, command, bus, Hours(folder, bus, hours), said.append)
        await backing.run()
        return backing, said

    return asyncio.run(run())


def test_one_is_made_soon_after_the_start_and_then_one_a_day(tmp_path: Path) -> None:
    backing, said = watched(tmp_path, MAKE, hours=50)
    hours = [(backup.at_ms - START_MS) / 3_600_000 for backup in backups(tmp_path, "log.db")]
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
    assert len(backups(tmp_path, "log.db")) == 1


def test_in_its_first_hour_nothing_is_said_of_the_age(tmp_path: Path) -> None:
    backing, _ = watched(tmp_path, MAKE, hours=0)
    assert backing.age_s() is None
