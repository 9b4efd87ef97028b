"""Report the progress of an engine that is replaying its log at start-up, in a small file beside the log.

Until the recovery ends, the engine cannot be asked: it opens its control socket only afterwards.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from papertape.events.beside import sibling_path

SUFFIX = ".replaying"


class StartupProgress(Struct, frozen=True):
    """The process that replays the log, the seq it has reached, and the seq at which the log ends."""

    pid: int
    seq: int
    head_seq: int


def write_progress(db: Path, seq: int, head_seq: int) -> None:
    """Report the seq that this process has reached. A file that cannot be written is ignored."""
    with suppress(OSError):
        _path(db).write_bytes(msgspec.json.encode(StartupProgress(os.getpid(), seq, head_seq)))


def clear_progress(db: Path) -> None:
    """Remove the report: the replay ended or failed."""
    with suppress(OSError):
        _path(db).unlink(missing_ok=True)


def read_progress(db: Path) -> StartupProgress | None:
    """Return the progress of the engine that is starting on this log; None if there is none."""
    try:
        progress = msgspec.json.decode(_path(db).read_bytes(), type=StartupProgress)
    except (OSError, msgspec.MsgspecError):
        return None
    return progress if Path(f"/proc/{progress.pid}").exists() else None


def _path(db: Path) -> Path:
    return sibling_path(db, SUFFIX)
