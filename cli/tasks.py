"""Running what is asynchronous: the loop is there before the coroutine, so none is left behind that nobody awaits."""

from __future__ import annotations

import asyncio
import os
from threading import Timer
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")


def run_tasks(make: Callable[[], Coroutine[Any, Any, T]], *, quick: bool = False) -> T:
    """Run the coroutine that `make` makes to its end; `quick` asks for uvloop, where there is one for this system."""
    with asyncio.Runner(loop_factory=_quick_loop if quick else None) as runner:
        runner.get_loop()  # Where no loop can be made nothing was begun.
        return runner.run(make())


def _quick_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 - not everywhere; asyncio's own loop is slower and otherwise the same.
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def leave_within(seconds: float) -> None:
    """End this process well after so long, even where a thread that nobody can stop still works.

    For who has nothing left to write: a name that is looked up or a large log that is compared would hold up the end.
    """
    timer = Timer(seconds, os._exit, (0,))
    timer.daemon = True
    timer.start()
