"""A small file beside the log with the messages to the owner that no event causes, so that the page can show them too.

Only the engine writes it. Losing it loses the last heartbeat, the texts of the last faults, and the duration of starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from papertape.events.beside import sibling_path
from papertape.events.durable import write_durably
from papertape.projections.site.messages import UnloggedContents

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SUFFIX: Final = ".told"
FILE_BYTES_MAX: Final = 1_000_000
NOTHING: Final = UnloggedContents()


def unlogged_path(db: Path) -> Path:
    """Return the path of the file."""
    return sibling_path(db, SUFFIX)


class UnloggedMessages:
    """The file at a path. The page reads it; the engine changes it."""

    def __init__(self, path: Path, warn: Callable[[str], None] = lambda _: None) -> None:
        self._path, self._warn = path, warn
        self._cached, self._version = NOTHING, (0, 0, 0)

    def read(self) -> UnloggedContents:
        """Return the contents, read again only after a change; an unreadable file is empty."""
        try:
            status = self._path.stat()
            version = (status.st_mtime_ns, status.st_size, status.st_ino)
            if version != self._version and status.st_size <= FILE_BYTES_MAX:
                contents = msgspec.json.decode(self._path.read_bytes(), type=UnloggedContents)
                self._cached, self._version = contents, version
        except (OSError, msgspec.DecodeError):
            self._cached, self._version = NOTHING, (0, 0, 0)
        return self._cached

    def change(self, change: Callable[[UnloggedContents], UnloggedContents]) -> None:
        """Replace the contents atomically; warn if they cannot be written."""
        try:
            write_durably(self._path, msgspec.json.encode(change(self.read())))
        except OSError as error:
            self._warn(f"{self._path.name} could not be written: {error.strerror}")
