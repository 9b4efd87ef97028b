"""Short messages between the supervisor and its processes, in memory, so that they work with a full disk.

The supervisor creates the board and passes it on as an open descriptor. A process writes its last error there; the
supervisor writes why the engine is down, and the page shows it.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

BOARD_FD: Final = 4
SLOT_BYTES_MAX: Final = 1_024
OWN_FD_MIN: Final = 10
"""The supervisor's own descriptor of the board must not collide with the descriptors of a child."""
KEEPER: Final = "PAPERTAPE_KEEPER"
"""The environment variable with the supervisor's pid."""
SLOT: Final = "PAPERTAPE_BOARD_SLOT"
"""The environment variable with the slot for a process's last error."""

Slot = Literal["engine", "page", "outage", "log", "login"]
SLOTS: Final[tuple[Slot, ...]] = ("engine", "page", "outage", "log", "login")


class StatusBoard:
    """Slots for short texts. A reader never sees half a text, because a slot is one small write."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def write(self, slot: Slot, text: str) -> None:
        """Write a text to a slot, truncated to its size."""
        content = text.encode(errors="replace")[:SLOT_BYTES_MAX].ljust(SLOT_BYTES_MAX, b"\0")
        os.pwrite(self.descriptor, content, SLOTS.index(slot) * SLOT_BYTES_MAX)

    def read(self, slot: Slot) -> str:
        """Return the text in a slot, or an empty text."""
        content = os.pread(self.descriptor, SLOT_BYTES_MAX, SLOTS.index(slot) * SLOT_BYTES_MAX)
        return content.rstrip(b"\0").decode(errors="ignore")


def new_board() -> StatusBoard:
    """Create a board, in an unnamed file on disk if the system has no in-memory files."""
    if hasattr(os, "memfd_create"):
        made = os.memfd_create("papertape-board")
    else:
        with tempfile.TemporaryFile() as file:
            made = os.dup(file.fileno())
    descriptor = fcntl.fcntl(made, fcntl.F_DUPFD_CLOEXEC, OWN_FD_MIN)
    os.close(made)
    os.ftruncate(descriptor, len(SLOTS) * SLOT_BYTES_MAX)
    return StatusBoard(descriptor)


def own_board(environment: Mapping[str, str]) -> StatusBoard | None:
    """Return the board that the supervisor passed to this process, or None.

    A child of a supervised process inherits the variables but has another parent; its descriptor may be any file.
    """
    return StatusBoard(BOARD_FD) if SLOT in environment and environment.get(KEEPER) == str(os.getppid()) else None


def write_last_error(environment: Mapping[str, str], text: str) -> None:
    """Write why this process ends to the board, where the supervisor reads it."""
    board, slot = own_board(environment), environment.get(SLOT)
    for one in SLOTS:
        if board is not None and one == slot:
            board.write(one, text)
