"""Run something that may contain a bug, and go on whatever becomes of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def failure_of(make: Callable[[], Awaitable[object]]) -> BaseException | None:
    """Run what `make` makes to its end and return its error, None for a good end.

    Cancelling this cancels what runs, and waits for it.
    """
    task = asyncio.ensure_future(make())
    try:
        await asyncio.wait({task})
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return None if task.cancelled() else task.exception()
