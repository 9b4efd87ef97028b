"""A child runs the sources of its parent, whatever the working directory contains."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from papertape.engine.backup import list_backups
from tests.architecture.source import ROOMS, room_sources
from tests.cli.written_log import write_log
from tests.engine.processes import ROOT, environment
from tests.patience import PATIENCE_S
from tests.support import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

BACK_UP = """
import asyncio
from pathlib import Path
from papertape.cli.service.backup_schedule import BackupSchedule, backup_command
from papertape.engine.ports.clock import SystemClock
from papertape.events.bus import Bus

db, folder = Path("log.db"), Path("backups")
backing = BackupSchedule(db, folder, 24.0, backup_command(db, folder, ""), Bus(0), SystemClock(), print)
failure = asyncio.run(backing._make())
assert not failure, failure
"""


@pytest.fixture
def bot(tmp_path: Path) -> Path:
    """Return a user's folder with modules named like ours."""
    for name in ROOMS:
        (tmp_path / f"{name}.py").write_text(f'raise SystemExit("HIJACK {name}")\n', encoding="utf-8")
    write_log(tmp_path / "log.db")
    return tmp_path


def started(folder: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Start Python as an installed program does: without the working directory in the module path."""
    return subprocess.run(
        [sys.executable, "-P", *arguments],
        cwd=folder, env=environment(**extra), capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("path", ["", ":."])
def test_the_backup_that_an_engine_starts_is_made_by_its_own_sources(bot: Path, path: str) -> None:
    done = started(bot, "-c", BACK_UP, PYTHONPATH=f"{ROOT}{path}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(list_backups(bot / "backups", "log.db")) == 1


def test_an_engine_and_its_page_are_of_the_keepers_own_sources(bot: Path) -> None:
    market = ("--feed", "sim", "--speed", "max", "--until-end", "--set", "feed.sim.days=1", "feed.sim.warm_up_days=0")
    done = started(
        bot, "-W", "error::RuntimeWarning", "-m", "papertape", "up", *market, "--port", "0", "--db", "new.db"
    )
    assert done.returncode == 0, done.stderr
    assert "HIJACK" not in done.stdout + done.stderr
    assert "engine stopped: the market ended" in done.stdout


def test_one_place_says_how_this_program_starts_itself() -> None:
    found = {
        path.relative_to(REPOSITORY).as_posix()
        for path in room_sources()
        if re.search(r"sys\.executable|[\"']-m[\"']", path.read_text(encoding="utf-8"))
    }
    assert found == {"engine/child_processes.py"}
