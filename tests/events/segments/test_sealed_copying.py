"""A sealed log is replaced by a sealed copy: killed at any step, one of the two is there with every row."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

import pytest

from papertape.events.copying import copy_log, put_back, set_aside
from papertape.events.failpoints import RESTORE_FAILPOINTS
from papertape.events.segments.folder import sealed_folder
from tests.events.processes import run_until_killed
from tests.events.segments.logs import all_rows, write_sealed

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.events.chain import Row


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A sealed log, and a longer one with other segments as a copy to restore."""
    asyncio.run(write_sealed(tmp_path / "log.db"))
    (tmp_path / "other").mkdir()
    asyncio.run(write_sealed(tmp_path / "other" / "long.db", rows=20, seals=(10, 24)))
    copy_log(tmp_path / "other" / "long.db", tmp_path / "copy.backup")
    shutil.copytree(sealed_folder(tmp_path / "other" / "long.db"), sealed_folder(tmp_path / "copy.backup"))
    return tmp_path / "log.db"


def old_and_new(path: Path) -> tuple[list[Row], list[Row]]:
    return all_rows(path), all_rows(path.parent / "other" / "long.db")


@pytest.mark.parametrize("failpoint", RESTORE_FAILPOINTS)
def test_a_kill_at_any_step_leaves_the_old_log_or_the_new_one_whole(path: Path, failpoint: str) -> None:
    both = old_and_new(path)
    run_until_killed(failpoint, "restore", str(path))
    assert all_rows(path) in both
    put_back(path.parent / "copy.backup", path, replace_newer=True, now_ms=0)
    assert all_rows(path) == both[1]


def test_both_logs_have_their_own_segments_afterwards(path: Path) -> None:
    old, new = old_and_new(path)
    _, aside = put_back(path.parent / "copy.backup", path, replace_newer=True, now_ms=0)
    assert aside is not None
    assert (all_rows(path), all_rows(aside / path.name)) == (new, old)
    assert [len(list(sealed_folder(one).iterdir())) for one in (path, aside / path.name)] == [2, 2]


def test_segments_whose_log_was_lost_are_kept(path: Path) -> None:
    names = sorted(file.name for file in sealed_folder(path).iterdir())
    for file in path.parent.glob(f"{path.name}*"):
        if file.is_file():
            file.unlink()
    _, aside = put_back(path.parent / "copy.backup", path, replace_newer=True, now_ms=0)
    assert aside is not None
    assert sorted(file.name for file in sealed_folder(aside / path.name).iterdir()) == names


def test_segments_of_backups_beside_the_log_stay_with_the_backups(path: Path) -> None:
    backup = path.with_name(f"{path.name}-20260101T000000Z-000000000040.backup")
    shutil.move(path.parent / "copy.backup", backup)
    shutil.move(sealed_folder(path.parent / "copy.backup"), sealed_folder(backup))
    rows = all_rows(backup)
    put_back(backup, path, replace_newer=True, now_ms=0)
    assert all_rows(backup) == all_rows(path) == rows
    assert set_aside(path, 0) is not None
    assert all_rows(backup) == rows


def test_a_log_that_is_set_aside_takes_its_segments_along(path: Path) -> None:
    rows = all_rows(path)
    aside = set_aside(path, 0)
    assert aside is not None
    assert all_rows(aside / path.name) == rows
    assert not sealed_folder(path).exists()
