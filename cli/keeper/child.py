"""What a kept process knows of its keeper. It ends with it, even when that one was killed and could say nothing."""

from __future__ import annotations

import os
import signal
import sys
from typing import Final

from papertape.cli.keeper.status_board import KEEPER

PAGE: Final = "PAPERTAPE_PAGE"
"""What the engine's live view says of the page: its address, and the token where the keeper made one."""
PR_SET_PDEATHSIG: Final = 1


def exit_with_parent() -> None:
    """Ask the system for SIGTERM at the keeper's end; where there is no keeper, or no Linux, nothing is asked."""
    keeper = os.environ.get(KEEPER, "")
    if not keeper.isdecimal() or sys.platform != "linux":
        return
    import ctypes  # noqa: PLC0415 - nobody else needs it.

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != int(keeper):  # It was gone before anything was asked.
        raise SystemExit(0)
