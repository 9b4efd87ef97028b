"""Write files so that they survive a power cut: complete or absent, under their own names.

A rename is durable only after the folder that holds the name is synced too; every atomic write goes through here.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path


def write_durably(path: Path, content: bytes, before_rename: Callable[[], None] = lambda: None) -> None:
    """Replace `path` atomically with `content`, through `<path>.tmp`. Raise OSError on failure."""
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
    """Move a file or folder; sync its content first, then both names. Raise OSError on failure."""
    sync(source)
    source.replace(target)
    sync(target.parent)
    if source.parent != target.parent:
        sync(source.parent)


def move_durably(paths: Iterable[Path], folder: Path) -> None:
    """Move files whose content is already synced into a folder, and sync both folders. Raise OSError on failure."""
    sources: set[Path] = set()
    for path in paths:
        path.replace(folder / path.name)
        sources.add(path.parent)
    for changed in (folder, *sources):
        sync(changed)


def make_folder(folder: Path) -> None:
    """Create a folder and its missing parents, and sync each new name. Raise OSError on failure."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for created in missing:
        sync(created.parent)


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk. Raise OSError on failure.

    Never pass the file of an open log: closing the descriptor would drop SQLite's locks on it.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
