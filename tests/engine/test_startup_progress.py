"""An engine that starts on a long log reports its progress."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from papertape.cli.service.engine_client import EngineClient
from papertape.engine.startup_progress import clear_progress, read_progress, write_progress
from papertape.projections.site.readiness import readiness
from papertape.projections.site.views import Views
from tests.engine.processes import command, environment, ok

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.projections.site.ports import EngineStatus


def status(db: Path) -> EngineStatus | None:
    return asyncio.run(EngineClient(db).status())


def test_progress_is_the_reason_for_not_ready_and_ends_with_the_replay(tmp_path: Path) -> None:
    db = tmp_path / "log.db"
    write_progress(db, 40_000, 1_000_000)
    told = status(db)
    assert told is not None
    view = readiness(Views(), told, 1_000_000)
    assert not view.ready
    assert [(one.code, one.text) for one in view.reasons] == [
        ("recovering", "the engine is replaying its log: 40,000/1,000,000")
    ]
    clear_progress(db)
    assert status(db) is None


def test_a_process_that_is_gone_replays_nothing(tmp_path: Path) -> None:
    write_progress(tmp_path / "log.db", 1, 2)
    path = tmp_path / "log.db.replaying"
    path.write_text(path.read_text().replace(str(os.getpid()), "4194305"))
    assert read_progress(tmp_path / "log.db") is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid":"x"}'])
def test_a_torn_file_says_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "log.db.replaying").write_bytes(content)
    assert read_progress(tmp_path / "log.db") is None


@pytest.mark.system
def test_a_real_start_without_snapshots_is_seen_on_its_way(tmp_path: Path) -> None:
    market = ("run", "--feed", "sim", "--speed", "max", "--set", "feed.sim.days=8", "--until-end", "--db", "log.db")
    ok(tmp_path, *market, "--json")
    shutil.rmtree(tmp_path / "log.db.snapshots")
    seen: set[int] = set()
    process = subprocess.Popen(
        command(*market, "--json"), cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL
    )  # fmt: skip
    while process.poll() is None:
        found = read_progress(tmp_path / "log.db")
        if found is not None:
            seen.add(found.seq)
        time.sleep(0.002)
    assert process.returncode == 0
    assert len(seen) >= 2
    assert not (tmp_path / "log.db.replaying").exists()
