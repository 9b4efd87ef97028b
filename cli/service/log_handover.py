"""A log that an engine is just leaving: one whose keeper was killed may still have its last words to say.

The engine that a new keeper starts at once would end for good, since nobody waits for a log that another engine holds.
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

LEAVES_S_MAX: Final = 15.0
"""Last words take up to five seconds; a busy machine takes longer."""
LOOK_EVERY_S: Final = 0.1


async def wait_for_log(db: Path, take: Callable[[], Awaitable[T]], leaves_s_max: float = LEAVES_S_MAX) -> T:
    """Take a log; where an engine that answers no more holds it, once that one has left.

    Only who has a keeper waits: a person is told at once. Raises LogHeld where the other engine stays.
    """
    loop, said = asyncio.get_running_loop(), False
    ends_s = loop.time() + leaves_s_max
    while True:
        try:
            return await take()
        except LogHeld:
            if KEEPER not in os.environ or loop.time() > ends_s or await _is_held(db):
                raise
        if not said:
            said = True
            warn(f"another engine is just leaving {db}; it is waited for")
        await asyncio.sleep(LOOK_EVERY_S)


async def _is_held(db: Path) -> bool:
    """Whether an engine answers at the door and means to go on; one that leaves says so, or has shut its door."""
    try:
        said = await request_status(db)
    except EngineNotRunning:
        return False
    return said is not None and not said.get("ending")
