"""An upgrade across a changed event, and the way back: the new one reads on, the old refuses and touches nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import pytest

from papertape.events.sqlite_log import SqliteLogReader
from tests.support import REPOSITORY

RUN = ("run", "--feed", "sim", "--until-end", "--json")
DAMAGED = 5


class Changed(NamedTuple):
    """These sources with one event changed as `events.upcast` says: a tag raised, the old shape and a way from it."""

    event: str
    sources: Path


@pytest.fixture(scope="module")
def of_every_end(tmp_path_factory: pytest.TempPathFactory) -> Changed:
    """A change of an event that every run writes."""
    return changed(tmp_path_factory.mktemp("new"), "EngineStopped")


@pytest.fixture(scope="module")
def of_a_pause(tmp_path_factory: pytest.TempPathFactory) -> Changed:
    """A change of an event that only an owner causes."""
    return changed(tmp_path_factory.mktemp("new"), "RunnerPaused")


def changed(folder: Path, event: str) -> Changed:
    """The second version."""
    shutil.copytree(REPOSITORY / "papertape", folder / "papertape", ignore=shutil.ignore_patterns("__pycache__"))
    events = folder / "papertape" / "events"
    facts, upcast = events / "facts" / "operation.py", events / "upcast.py"
    text = facts.read_text()
    [shape] = re.findall(
        rf'class {event}\(Event, frozen=True, tag="{event}.1"\):\n.*?(?=\n\n\nclass )', text, re.DOTALL
    )
    later = shape.replace(f"{event}.1", f"{event}.2") + '\n    venue: str = "paper"'
    facts.write_text(text.replace(shape, later))
    old = shape.replace(f"class {event}(", f"class {event}1(")
    way = f"def with_venue(old: {event}1) -> {event}:\n    return {event}(**asdict(old))"
    table = "UPCASTERS: Mapping[type[Event], Upcaster] = {"
    name = f"from papertape.events.facts import {event}"
    written = upcast.read_text()
    assert table in written
    upcast.write_text(written.replace(table, f"{name}\n\n\n{old}\n\n\n{way}\n\n\n{table}\n    {event}1: with_venue,"))
    return Changed(event, folder)


def version(sources: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A verb as a version of the sources does it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PAPERTAPE_")}
    return subprocess.run(
        [sys.executable, "-P", "-m", "papertape", *arguments, "--db", "log.db"],
        cwd=folder, env={**kept, "PYTHONPATH": str(sources)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def days(count: int) -> tuple[str, ...]:
    """A market of so many days, the same from its start on."""
    return ("--set", f"feed.sim.days={count}")


def portrait(folder: Path) -> dict[str, str]:
    """Every file and what is in it."""
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.is_file()}


def head_seq(folder: Path) -> int:
    """Where the log stands."""
    with closing(SqliteLogReader(folder / "log.db")) as reader:
        return reader.head().seq


def shown(sources: Path, folder: Path) -> str:
    """All events as a version shows them."""
    done = version(sources, folder, "log", "--json", "--limit", "1000000")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_new_version_goes_on_with_the_old_log_and_the_old_one_refuses_the_new_one_untouched(
    of_every_end: Changed, tmp_path: Path
) -> None:
    event, sources = of_every_end
    done = version(REPOSITORY, tmp_path, *RUN, *days(1))
    assert done.returncode == 0, done.stderr
    before = head_seq(tmp_path)
    assert f'"type":"{event}"' in shown(REPOSITORY, tmp_path)
    done = version(sources, tmp_path, *RUN, *days(2))
    assert done.returncode == 0, done.stderr
    assert head_seq(tmp_path) > before
    ends = [line for line in shown(sources, tmp_path).splitlines() if f'"type":"{event}"' in line]
    assert [('"venue":"paper"' in line) for line in ends] == [True, True]
    there = portrait(tmp_path)
    for verb in ((*RUN, *days(3)), ("verify",)):
        done = version(REPOSITORY, tmp_path, *verb)
        assert done.returncode == DAMAGED, (verb, done.returncode, done.stderr)
        assert f"{event}.2" in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
    assert portrait(tmp_path) == there
    done = version(sources, tmp_path, *RUN, *days(3))
    assert done.returncode == 0, done.stderr
    assert version(sources, tmp_path, "verify").returncode == 0


def test_where_the_changed_event_never_happened_the_old_version_reads_on(of_a_pause: Changed, tmp_path: Path) -> None:
    done = version(of_a_pause.sources, tmp_path, *RUN, *days(1))
    assert done.returncode == 0, done.stderr
    before = head_seq(tmp_path)
    done = version(REPOSITORY, tmp_path, *RUN, *days(2))
    assert done.returncode == 0, done.stderr
    assert head_seq(tmp_path) > before
    assert version(REPOSITORY, tmp_path, "verify").returncode == 0
