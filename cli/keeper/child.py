"""A supervised process: it ends with its supervisor, even if that is killed."""

from __future__ import annotations

import os
import signal
import sys
from typing import Final

from papertape.cli.keeper.status_board import KEEPER

PAGE: Final = "PAPERTAPE_PAGE"
"""The environment variable with the text about the page in the live view: its address, and a generated token."""
PR_SET_PDEATHSIG: Final = 1


def exit_with_parent() -> None:
    """Ask Linux to send this process SIGTERM when its supervisor ends; do nothing without one."""
    supervisor = os.environ.get(KEEPER, "")
    if not supervisor.isdecimal() or sys.platform != "linux":
        return
    import ctypes  # noqa: PLC0415 - rarely needed.

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != int(supervisor):  # It ended before the request.
        raise SystemExit(0)
