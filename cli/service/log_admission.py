"""Guard the creation of a log: never beside the remains of another one, unless the owner asks for it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from papertape.cli.keeper.status_board import own_board
from papertape.cli.wiring import warn
from papertape.engine.leftover_files import reject_leftovers, set_remains_aside
from papertape.engine.ports.clock import SystemClock
from papertape.events.beside import real_path
from papertape.events.errors import LogGone

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.cli.config.sections import Config

NEW_LOG: Final = "start a new log with --new-log, which moves the remains aside and deletes nothing"
ANOTHER: Final = "name another file (--db)"


def admit_log(db: Path, config: Config, *, new_log: bool = False, way_on: str = NEW_LOG) -> None:
    """Check that a command may create a log at `db` if it is missing. Raise LogGone, LogHeld or LogError if not."""
    folder = real_path(db).parent / config.backup.folder
    if new_log:
        for aside in set_remains_aside(db, folder, SystemClock().now_ms()):
            warn(f"the remains of another log were moved to {aside}")
        return
    reject_leftovers(db, folder, way_on)


def refuse_vanished(db: Path) -> None:
    """Raise LogGone if the supervisor knew a log that is missing now, for example because a disk was unmounted."""
    board = own_board(os.environ)
    if board is not None and board.read("log") and not db.exists():
        raise LogGone(f"the log at {db} existed when the last engine ran, but is missing now; is its disk mounted?")


def note_log(db: Path) -> None:
    """Tell the supervisor that the log exists now."""
    board = own_board(os.environ)
    if board is not None:
        board.write("log", str(db))
