"""Locate the companion files of a log: beside its real file, whatever path leads to it.

A symbolic link is another name for the log. Lock, head, snapshots, folds and cursors lie beside the link's target, so
two names of one log always share one lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def real_path(db: Path) -> Path:
    """Return the path of the log's real file; a path that is not a symbolic link is returned unchanged."""
    return db.resolve() if db.is_symlink() else db


def sibling_path(db: Path, suffix: str) -> Path:
    """Return the path of the log's real file with a suffix appended to its name."""
    real = real_path(db)
    return real.with_name(real.name + suffix)
