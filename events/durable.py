"""Files that survive a power cut: whole or not at all, and found again under their names.

A rename is durable only when the folder that holds the name is synced too; every atomic writer goes through here.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path


def write_durably(path: Path, content: bytes, before_rename: Callable[[], None] = lambda: None) -> None:
    """Put `content` in the place of `path`, whole or not at all, through `<path>.tmp`. Raises OSError."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        before_rename()
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def rename_durably(source: Path, target: Path) -> None:
    """Move a file or folder, its content synced first, its old and its new name after it. Raises OSError."""
    sync(source)
    source.replace(target)
    sync(target.parent)
    if source.parent != target.parent:
        sync(source.parent)


def move_durably(paths: Iterable[Path], folder: Path) -> None:
    """Move files, whose content is on the disk already, into a folder, and sync both ends. Raises OSError."""
    left: set[Path] = set()
    for path in paths:
        path.replace(folder / path.name)
        left.add(path.parent)
    for changed in (folder, *left):
        sync(changed)


def make_folder(folder: Path) -> None:
    """Make a folder and whatever is missing above it, and sync each new name. Raises OSError."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in missing:
        sync(made.parent)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk. Raises OSError.

    Never give it the file of an open log: closing the descriptor would drop SQLite's locks on it.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
