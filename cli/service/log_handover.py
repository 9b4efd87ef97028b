"""Wait for a log that another engine is releasing: after its supervisor was killed, it may still report its stop.

Without the wait, the engine that a new supervisor starts would exit for good, because another engine holds its log.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final, TypeVar

from papertape.cli.keeper.status_board import KEEPER
from papertape.cli.wiring import warn
from papertape.engine.control_socket import EngineNotRunning, request_status
from papertape.events.errors import LogHeld

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

T = TypeVar("T")

RELEASE_S_MAX: Final = 15.0
"""A stopping engine reports for up to five seconds; a busy machine takes longer."""
RETRY_EVERY_S: Final = 0.1


async def wait_for_log(db: Path, open_log: Callable[[], Awaitable[T]], release_s_max: float = RELEASE_S_MAX) -> T:
    """Open a log, once an engine that is stopping has released it.

    Wait only under a supervisor; a person sees the error at once. Raise LogHeld if the other engine does not stop.
    """
    loop, is_waiting = asyncio.get_running_loop(), False
    ends_s = loop.time() + release_s_max
    while True:
        try:
            return await open_log()
        except LogHeld:
            if KEEPER not in os.environ or loop.time() > ends_s or await _is_in_use(db):
                raise
        if not is_waiting:
            is_waiting = True
            warn(f"waiting for another engine to release {db}")
        await asyncio.sleep(RETRY_EVERY_S)


async def _is_in_use(db: Path) -> bool:
    """Return whether an engine answers on the control socket and is not stopping."""
    try:
        status = await request_status(db)
    except EngineNotRunning:
        return False
    return status is not None and not status.get("ending")
