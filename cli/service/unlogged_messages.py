"""A small file beside the log for what the owner was told and no event stands for, so that the page can show it too.

Only the engine writes it; losing it loses the last heartbeat, the words of the last faults, and how long starts took.
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
    """Where it stands."""
    return sibling_path(db, SUFFIX)


class UnloggedMessages:
    """The file at a path: `read` for whoever looks, `change` for the engine."""

    def __init__(self, path: Path, warn: Callable[[str], None] = lambda _: None) -> None:
        self._path, self._warn = path, warn
        self._known, self._of = NOTHING, (0, 0, 0)

    def read(self) -> UnloggedContents:
        """What stands in it; it is read again only where it has changed. What cannot be read is nothing."""
        try:
            found = self._path.stat()
            of = (found.st_mtime_ns, found.st_size, found.st_ino)
            if of != self._of and found.st_size <= FILE_BYTES_MAX:
                self._known, self._of = msgspec.json.decode(self._path.read_bytes(), type=UnloggedContents), of
        except (OSError, msgspec.DecodeError):
            self._known, self._of = NOTHING, (0, 0, 0)
        return self._known

    def change(self, change: Callable[[UnloggedContents], UnloggedContents]) -> None:
        """Put something else in its place, whole or not at all. What cannot be written is a warning."""
        try:
            write_durably(self._path, msgspec.json.encode(change(self.read())))
        except OSError as error:
            self._warn(f"{self._path.name} could not be written: {error.strerror}")
