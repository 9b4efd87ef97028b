"""An event loop for a test, a clock that stands still, and the files that a process has open."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, ParamSpec

P = ParamSpec("P")
RECORDED_AT_MS = 1_700_000_000_123


def in_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async test in an event loop of its own."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


def open_files(folder: Path) -> list[str]:
    """The names of the files in `folder` that this process has open."""
    names = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # The descriptor that lists the others is gone by now.
            file = descriptor.readlink()
            if file.parent == folder:
                names.append(file.name)
    return sorted(names)


def clock_ms() -> int:
    """A clock that stands still."""
    return RECORDED_AT_MS
