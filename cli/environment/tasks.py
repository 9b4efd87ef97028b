"""Run coroutines. The event loop is created first, so that no coroutine is left unawaited if that fails."""

from __future__ import annotations

import asyncio
import os
from threading import Timer
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")


def run_tasks(make: Callable[[], Coroutine[Any, Any, T]], *, quick: bool = False) -> T:
    """Run the coroutine that `make` returns; `quick` selects uvloop if this system has it."""
    with asyncio.Runner(loop_factory=_quick_loop if quick else None) as runner:
        runner.get_loop()  # If no loop can be created, nothing has begun.
        return runner.run(make())


def _quick_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 - not everywhere; asyncio's own loop is slower and otherwise the same.
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def leave_within(seconds: float) -> None:
    """Exit with code 0 after `seconds` at the latest, even if an unstoppable thread is still working.

    Use it only when nothing is left to write: a DNS lookup or a comparison of a large log would delay the exit.
    """
    timer = Timer(seconds, os._exit, (0,))
    timer.daemon = True
    timer.start()
