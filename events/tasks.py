"""Run code that may fail with any exception, and return the exception instead of raising it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def failure_of(make: Callable[[], Awaitable[object]]) -> BaseException | None:
    """Await what `make` returns, and return its exception, or None if it succeeds.

    Cancelling this function cancels the awaitable and waits for it to end.
    """
    task = asyncio.ensure_future(make())
    try:
        await asyncio.wait({task})
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return None if task.cancelled() else task.exception()
