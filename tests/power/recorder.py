"""Record what processes do to a folder, by strace.

strace sees what reaches the kernel, from every thread and process, whatever library it comes from. A library loaded
before all others would miss what the C library calls itself and would need a compiler; a hook in Python does not see
SQLite's writes; and a file system of SQLite's own would not be the one that runs. It needs no rights beyond those of a
debugger on one's own processes.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final

import pytest
from msgspec import Struct

from tests.patience import PATIENCE_S
from tests.power.disk import Disk, Folder, copy_folder, live_files, read_folder
from tests.power.operations import Operation
from tests.power.system_calls import SHARED_MEMORY, TRACED, CallDecoder
from tests.support import REPOSITORY

STRACE: Final = shutil.which("strace")
ARGUMENT_BYTES_MAX: Final = 1 << 25


class Step(Struct, frozen=True):
    """A process to record: the arguments of Python, and the call at which it is killed, if any.

    `killed_at` is what strace understands, such as `fdatasync` and the number of the call in its thread.
    """

    arguments: tuple[str, ...]
    killed_at: tuple[str, int] | None = None
    variables: dict[str, str] = {}


class Recording(Struct):
    """What a folder held before, and all operations on it."""

    before: Folder
    operations: list[Operation]

    def disk(self) -> Disk:
        """Return the disk before the first operation."""
        return Disk(copy_folder(self.before))


@cache
def is_traceable() -> bool:
    """Return whether this machine lets processes be traced."""
    if STRACE is None:
        return False
    return subprocess.run([STRACE, "-qq", "-o", os.devnull, "true"], check=False, capture_output=True).returncode == 0


needs_strace = pytest.mark.skipif(
    not is_traceable(),
    reason="NO POWER CUT IS PROVED HERE: this machine lacks strace, or does not let processes be traced",
)


def record(folder: Path, steps: list[Step]) -> Recording:
    """Run the steps one after the other and return what they did to `folder`, which holds what is durable before."""
    folder = folder.resolve()
    before, beside = read_folder(folder), folder.with_name(folder.name + "-recorded")
    beside.mkdir()
    said = beside / "said"
    decoder = CallDecoder(str(folder), str(said), str(REPOSITORY))
    for number, step in enumerate(steps):
        trace = beside / f"trace-{number}"
        _run(step, trace, said)
        with trace.open(encoding="ascii") as lines:
            decoder.decode(lines)
        trace.unlink()
    recording = Recording(before, decoder.operations)
    _check(recording, folder)
    return recording


def _run(step: Step, trace: Path, said: Path) -> None:
    assert STRACE is not None
    command = [STRACE, "-f", "-y", "-qq", "-xx", "-s", str(ARGUMENT_BYTES_MAX), "-o", str(trace)]
    command += ["-e", f"trace={','.join(TRACED)}", "-e", "signal=none"]
    if step.killed_at is None:
        command += ["--seccomp-bpf"]  # Faster, but then no signal can be delivered at a call.
    else:
        name, number = step.killed_at
        command += ["-e", f"inject={name}:error=EIO:signal=SIGKILL:when={number}"]
    with said.open("ab") as out:
        done = subprocess.run(
            [*command, sys.executable, *step.arguments],
            cwd=REPOSITORY,
            env={**os.environ, **step.variables},
            stdout=out,
            stderr=subprocess.PIPE,
            timeout=PATIENCE_S,
            check=False,
        )
    expected = 0 if step.killed_at is None else -signal.SIGKILL
    assert done.returncode == expected, f"{step}: {done.returncode}\n{done.stderr.decode()[-2_000:]}"


def _check(recording: Recording, folder: Path) -> None:
    """Raise AssertionError if the operations do not lead to what the folder holds: something was not recorded."""
    disk = recording.disk()
    for index, operation in enumerate(recording.operations):
        disk.apply(index, operation)
    modelled, found = dict(live_files(disk.root)), dict(live_files(read_folder(folder)))
    differing = {path for path in modelled.keys() | found.keys() if modelled.get(path) != found.get(path)}
    wrong = sorted(path for path in differing if not path.endswith(SHARED_MEMORY))
    assert not wrong, f"the recorded operations do not explain {wrong}"
