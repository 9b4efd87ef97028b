"""The recorder sees every operation on the folder, and refuses what it does not understand."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.power.operations import Create, Link, MakeFolder, Remove, Rename, Resize, Say, Sync, Write
from tests.power.recorder import Step, needs_strace, record
from tests.power.system_calls import CallDecoder, UnmodelledCallError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = needs_strace

PROGRAM = """
import os, sys, threading
root = sys.argv[1]
os.mkdir(f"{root}/x")
def write():
    with open(f"{root}/x/a", "wb") as file:
        file.write(b"one"); file.flush(); os.fsync(file.fileno()); print("said", flush=True)
        file.seek(1); file.write(b"two"); file.flush(); os.ftruncate(file.fileno(), 2)
    with open(f"{root}/x/a", "ab") as file:
        file.write(b"end")
    os.pwrite(os.open(f"{root}/x/a", os.O_RDWR), b"P", 0)
thread = threading.Thread(target=write); thread.start(); thread.join()
folder = os.open(f"{root}/x", os.O_RDONLY)
os.rename("a", "b", src_dir_fd=folder, dst_dir_fd=folder); os.link(f"{root}/x/b", f"{root}/c"); os.unlink(f"{root}/x/b")
os.fsync(folder)
"""


def test_every_operation_is_recorded_in_its_order(tmp_path: Path) -> None:
    (folder := tmp_path / "log").mkdir()
    operations = record(folder, [Step(("-c", PROGRAM, str(folder)))]).operations
    assert [one if not isinstance(one, Sync) else Sync(one.path, 0) for one in operations] == [
        MakeFolder("x"),
        Create("x/a"),
        Resize("x/a", 0),
        Write("x/a", 0, b"one"),
        Sync("x/a", 0),
        Say("said"),
        Write("x/a", 1, b"two"),
        Resize("x/a", 2),
        Create("x/a"),
        Write("x/a", -1, b"end"),
        Write("x/a", 0, b"P"),
        Rename("x/a", "x/b"),
        Link("x/b", "c"),
        Remove("x/b"),
        Sync("x", 0),
    ]


def test_a_write_that_the_model_does_not_know_is_refused(tmp_path: Path) -> None:
    (folder := tmp_path / "log").mkdir()
    copy = "import os, sys; os.copy_file_range(os.open(sys.argv[2], 0), os.open(sys.argv[1] + '/a', 65), 9)"
    (tmp_path / "source").write_bytes(b"123456789")
    with pytest.raises(UnmodelledCallError, match="copy_file_range"):
        record(folder, [Step(("-c", copy, str(folder), str(tmp_path / "source")))])


def test_a_folder_is_there_before_another_thread_uses_it() -> None:
    folder, file = (f'"{"".join(f"{chr(92)}x{byte:02x}" for byte in path)}"' for path in (b"/log/x", b"/log/x/y"))
    descriptor = folder.replace('"', "")
    lines = [
        f"1 mkdir({folder}, 0777 <unfinished ...>",
        f"2 mkdir({file}, 0777) = 0",
        f"2 fsync(3<{descriptor}> <unfinished ...>",
        "1 <... mkdir resumed>) = 0",
        "2 <... fsync resumed>) = 0",
    ]
    assert CallDecoder("/log", "/said", os.sep).decode(lines) == [MakeFolder("x"), MakeFolder("x/y"), Sync("x", 2)]
    waiting = [f"1 mkdir({file}, 0777 <unfinished ...>", f"2 mkdir({folder}, 0777) = 0", "1 <... mkdir resumed>) = 0"]
    assert CallDecoder("/log", "/said", os.sep).decode(waiting) == [MakeFolder("x"), MakeFolder("x/y")]


def test_a_call_interrupted_by_other_lines_covers_what_was_written_before_it_began() -> None:
    path = "".join(f"\\x{byte:02x}" for byte in b"/log/a")
    lines = [
        f'1 openat(AT_FDCWD, "{path}", O_RDWR|O_CREAT, 0644) = 3<{path}>',
        f'1 pwrite64(3<{path}>, "\\x31", 1, 0) = 1',
        f"1 fdatasync(3<{path}> <unfinished ...>",
        f'2 pwrite64(3<{path}>, "\\x32", 1, 1) = 1',
        "1 <... fdatasync resumed>) = 0",
        f"1 fdatasync(3<{path}>) = -1 EIO (Input/output error) (INJECTED)",
    ]
    operations = CallDecoder("/log", "/said", os.sep).decode(lines)
    assert operations == [Create("a"), Write("a", 0, b"1"), Write("a", 1, b"2"), Sync("a", 2)]
