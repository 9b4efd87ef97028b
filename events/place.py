"""Detect by inode that the file of an open log was deleted, moved or replaced.

The files are examined with `stat`, never opened: closing one would drop the locks that SQLite holds on it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from papertape.events.errors import LogReplaced
from papertape.events.segments.folder import sealed_folder

Identity = tuple[int, int]
PROCESSES: Final = Path("/proc")
USERS_NAMED_MAX: Final = 5


class Place:
    """The path by which a log was opened, possibly a symbolic link, and the identity of its files."""

    def __init__(self, path: Path, file: Path) -> None:
        """Record the identity of the open log at `file`, to which `path` leads. Raise LogReplaced if it is gone."""
        self._path, self._wal = path, file.with_name(f"{file.name}-wal")
        self._sealed = sealed_folder(file)
        self._has_segments = self._sealed.is_dir()
        log, wal = file_identity(file), file_identity(self._wal)
        if log is None:
            raise LogReplaced(f"the log at {file} is gone")
        self._log: Identity = log
        self._opened_wal: Identity | None = wal

    def check(self) -> None:
        """Raise LogReplaced if the files are no longer the same, OSError if the disk does not respond."""
        log = file_identity(self._path)
        if log is None:
            raise LogReplaced(f"the log was deleted or moved away from {self._path} while the engine wrote to it")
        if log != self._log:
            raise LogReplaced(f"another file took the place of the log at {self._path} while the engine wrote to it")
        wal = file_identity(self._wal)
        if self._opened_wal is None:
            self._opened_wal = wal  # SQLite creates it with the first commit.
        elif wal != self._opened_wal:
            raise LogReplaced(f"{self._wal} was deleted or replaced while the engine wrote to it")
        if self._has_segments and file_identity(self._sealed) is None:
            raise LogReplaced(f"{self._sealed}, which holds the sealed part of the log, was deleted or moved away")
        self._has_segments = self._has_segments or self._sealed.is_dir()


def file_identity(path: Path) -> Identity | None:
    """Return the identity of the file at a path; None if there is no file. Raise OSError if the disk fails."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino


def other_users(file: Path) -> tuple[str, ...]:
    """Return the other processes that have the log open, as `sqlite3 (process 123)`; empty if that is unknown."""
    files, users = {file, Path(f"{file}-wal"), Path(f"{file}-shm")}, list[str]()
    for process in PROCESSES.glob("[0-9]*"):
        if process.name == str(os.getpid()) or len(users) >= USERS_NAMED_MAX:
            continue
        try:
            if any(descriptor.readlink() in files for descriptor in (process / "fd").iterdir()):
                users.append(f"{(process / 'comm').read_text().strip()} (process {process.name})")
        except OSError:  # It has just ended, or belongs to another user.
            continue
    return tuple(users)
