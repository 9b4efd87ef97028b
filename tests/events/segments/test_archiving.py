"""Old segments are moved to another disk, and the log reads them there."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from papertape.events.errors import LogArchived, LogError, LogHeld, UsageError
from papertape.events.failpoints import ARCHIVE_FAILPOINTS
from papertape.events.head_file import LogLock
from papertape.events.segments.archiving import archive
from papertape.events.segments.folder import sealed_folder
from papertape.events.segments.unsealing import unseal
from papertape.events.sqlite_log import SqliteEventLog, SqliteLogReader
from papertape.events.units import DAY_MS
from tests.build import candles
from tests.events.processes import run_until_killed
from tests.events.segments.logs import all_rows, seal_up_to

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log of three days of three commits each, each day but the last in a segment of its own."""
    asyncio.run(write_days(tmp_path / "log.db"))
    return tmp_path / "log.db"


async def write_days(path: Path) -> None:
    times_ms = iter([0, 0, 0, DAY_MS, DAY_MS, DAY_MS, 2 * DAY_MS, 2 * DAY_MS, 2 * DAY_MS])
    log = await SqliteEventLog.open(path, clock_ms=lambda: next(times_ms))
    for _ in range(9):
        await log.append(log.head.seq, candles(2, log.head.seq))
    await seal_up_to(log, 6)
    await seal_up_to(log, 12)
    await log.close()


def names(folder: Path) -> list[str]:
    return sorted(path.name.partition("-")[0] for path in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize(("days", "moved"), [(0, []), (1, [1]), (1.5, [1, 7]), (2, [1, 7]), (9, [1, 7])])
def test_whole_segments_that_end_before_the_date_are_moved(
    path: Path, tmp_path: Path, days: float, moved: list[int]
) -> None:
    rows, disk = all_rows(path), tmp_path / "disk" / "old"
    assert [info.first_seq for info in archive(path, int(days * DAY_MS), disk)] == moved
    assert names(disk) == [f"{seq:012d}" for seq in moved]
    assert names(sealed_folder(path)) == [f"{seq:012d}" for seq in (1, 7) if seq not in moved]
    assert all_rows(path) == rows
    assert archive(path, int(days * DAY_MS), disk) == []


def test_a_missing_disk_is_named_and_what_is_not_on_it_can_be_read(path: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    archive(path, DAY_MS, disk)
    disk.rename(tmp_path / "unplugged")
    with closing(SqliteLogReader(path)) as reader:
        assert reader.read(6, 1)[0].seq == 7
        with pytest.raises(LogArchived, match=f"events 1 to 6 were archived, and {disk}/.*mount the disk"):
            reader.read(0)
    with pytest.raises(LogArchived):
        unseal(path)
    (tmp_path / "unplugged").rename(disk)
    assert unseal(path) == 12
    assert len(names(disk)) == 1


@pytest.mark.parametrize("failpoint", [f"{name}:{nth}" for name in ARCHIVE_FAILPOINTS for nth in (1, 2)])
def test_a_kill_at_any_step_loses_nothing_and_the_next_archive_completes_it(
    path: Path, tmp_path: Path, failpoint: str
) -> None:
    rows = all_rows(path)
    run_until_killed(failpoint, "archive", str(path))
    assert all_rows(path) == rows
    archive(path, 9 * DAY_MS, tmp_path / "disk")
    assert (names(sealed_folder(path)), len(names(tmp_path / "disk"))) == ([], 2)
    assert all_rows(path) == rows


def test_an_archive_that_is_refused_changes_nothing(path: Path, tmp_path: Path) -> None:
    rows, disk = all_rows(path), tmp_path / "disk"
    disk.mkdir()
    (disk / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"not empty: it holds notes\.txt"):
        archive(path, 9 * DAY_MS, disk)
    with pytest.raises(UsageError, match="another disk"):
        archive(path, 9 * DAY_MS, sealed_folder(path))
    with LogLock(path), pytest.raises(LogHeld):
        archive(path, 9 * DAY_MS, tmp_path / "other")
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(LogError, match="could not be archived"):
        archive(path, 9 * DAY_MS, tmp_path / "file" / "below")
    assert (names(sealed_folder(path)), all_rows(path)) == (["000000000001", "000000000007"], rows)
