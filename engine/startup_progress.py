"""How far an engine has come with its log while it starts: said in a small file beside the log.

Until the engine is up nobody can ask it: the door opens behind the recovery.
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
    """The process that replays, the seq it has come to, and where the log ends."""

    pid: int
    seq: int
    head_seq: int


def write_progress(db: Path, seq: int, head_seq: int) -> None:
    """Say how far this process has come. A file that cannot be written is no fault: nobody hears of it."""
    with suppress(OSError):
        _path(db).write_bytes(msgspec.json.encode(StartupProgress(os.getpid(), seq, head_seq)))


def clear_progress(db: Path) -> None:
    """It is done, or it failed."""
    with suppress(OSError):
        _path(db).unlink(missing_ok=True)


def read_progress(db: Path) -> StartupProgress | None:
    """How far an engine has come that is starting on this log; None where none is."""
    try:
        found = msgspec.json.decode(_path(db).read_bytes(), type=StartupProgress)
    except (OSError, msgspec.MsgspecError):
        return None
    return found if Path(f"/proc/{found.pid}").exists() else None


def _path(db: Path) -> Path:
    return sibling_path(db, SUFFIX)
