"""Where the files of a log lie: beside its real file, by whatever name it is called.

A symbolic link to a log is another name of it. Lock, head, snapshots, folds, cursors and the door stand beside the
file that the link leads to, so that two names of one log never have two locks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def real_path(db: Path) -> Path:
    """Return the path of the log's real file; a path that is no symbolic link stays as it is."""
    return db.resolve() if db.is_symlink() else db


def beside(db: Path, suffix: str) -> Path:
    """Return the path beside the log's real file whose name is the log's with a suffix."""
    real = real_path(db)
    return real.with_name(real.name + suffix)
