"""A durable write waits until the disk has both content and name."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from papertape.engine.backup import make_backup
from papertape.events.durable import make_folder, move_durably, rename_durably, write_durably
from papertape.events.facts import EngineStarted
from papertape.events.log import Entry
from papertape.events.segments.archiving import archive
from papertape.events.segments.unsealing import unseal
from papertape.events.snapshots import SnapshotStore
from papertape.events.sqlite_log import SqliteEventLog
from tests.events.loop import clock_ms
from tests.events.segments.logs import seal_up_to
from tests.patience import PATIENCE_S
from tests.support import REPOSITORY, STRATEGIES

CALL = re.compile(r"(rename\w*|fsync|fdatasync)\((.*)\) += 0")
QUOTED = re.compile(r'"([^"]+)"')
DESCRIBED = re.compile(r"\d+<([^>]+)>")
STRACE = shutil.which("strace")


def write_everything(folder: Path) -> None:
    """Every atomic writer beside a log, once: head, segment, snapshot (a fold is one too), refused snapshot, backup."""

    async def write() -> None:
        log = await SqliteEventLog.open(folder / "log.db", clock_ms=clock_ms)
        for seq in range(3):
            await log.append(seq, [Entry(EngineStarted(clock_ms(), "test", "", ""))])
        await seal_up_to(log, 2)
        await log.close()

    make_folder(folder)
    asyncio.run(write())
    store = SnapshotStore(folder / "log.db.snapshots", print)
    for seq in (9, 2):
        store.save(seq, bytes(32), "r1", b"state")
    make_backup(folder / "log.db", folder / "backups", 3, STRATEGIES, None, clock_ms())
    archive(folder / "log.db", clock_ms() + 1, folder / "archive")
    unseal(folder / "log.db")


def system_calls(tmp_path: Path) -> list[tuple[str, list[str]]]:
    """The renames and syncs of `write_everything` in their order, with the absolute paths they are about."""
    assert STRACE is not None
    trace = tmp_path / "trace"
    command = [STRACE, "-f", "-y", "-o", str(trace), "-e", "trace=rename,renameat,renameat2,fsync,fdatasync"]
    program = [sys.executable, "-B", "-m", "tests.events.test_durable", str(tmp_path / "data")]
    whole = [*command, *program]
    done = subprocess.run(whole, cwd=REPOSITORY, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    if "ptrace" in done.stderr and not trace.exists():
        pytest.skip("this machine does not let processes be traced")
    assert done.returncode == 0, done.stderr
    found = [CALL.search(line) for line in trace.read_text().splitlines()]
    calls = [(match[1], match[2]) for match in found if match is not None]
    return [(name, QUOTED.findall(said) if "rename" in name else DESCRIBED.findall(said)) for name, said in calls]


@pytest.mark.system
@pytest.mark.skipif(STRACE is None, reason="strace shows what reaches the system")
def test_every_name_is_synced_behind_its_rename_and_the_head_file_behind_its_making(tmp_path: Path) -> None:
    calls = system_calls(tmp_path)
    renames = [(number, paths[-1]) for number, (name, paths) in enumerate(calls) if "rename" in name]
    assert {Path(target).suffix for _, target in renames} >= {".snapshot", ".refused", ".backup", ".segment"}
    for number, target in renames:
        later = [paths[0] for name, paths in calls[number:] if "sync" in name]
        assert str(Path(target).parent) in later, f"the name {target} is not synced"
    synced = [paths[0] for name, paths in calls if "sync" in name]
    head = synced.index(str(tmp_path / "data" / "log.db.head"))
    assert synced[head + 1] == str(tmp_path / "data")
    assert str(tmp_path) in synced, "the folder that was made is a name too"
    check_segments_are_durable_first(calls, [target for _, target in renames])


def check_segments_are_durable_first(calls: list[tuple[str, list[str]]], targets: list[str]) -> None:
    """A segment's content and name are on the disk before the log says in its -wal that it is there."""
    segments = [target for target in targets if target.endswith(".segment")]
    assert [Path(segment).parent.name for segment in segments] == ["log.db.sealed", "archive"]
    for segment in segments:
        renamed = next(number for number, (_, paths) in enumerate(calls) if paths[-1] == segment)
        partial = calls[renamed][1][0]
        assert [partial] in [paths for name, paths in calls[:renamed] if "sync" in name]
        after = [paths[0] for name, paths in calls[renamed + 1 :] if "sync" in name]
        assert after.index(str(Path(segment).parent)) < after.index(str(Path(segment).parents[1] / "log.db-wal"))


def test_what_could_not_be_written_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_durably(path, b"old")

    def fail() -> None:
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        write_durably(path, b"new", fail)
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (b"old", [path])


def test_files_are_moved_and_renamed_whole(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    make_folder(folder)
    for name in ("one", "two"):
        write_durably(tmp_path / name, name.encode())
    rename_durably(tmp_path / "two", tmp_path / "three")
    move_durably([tmp_path / "one", tmp_path / "three"], folder)
    assert sorted(path.read_bytes() for path in folder.iterdir()) == [b"one", b"two"]


if __name__ == "__main__":
    write_everything(Path(sys.argv[1]))
