"""Run the loop and its watchers together: if one fails, all end, so no failure goes unnoticed.

This is the one place that catches every exception: a bug in any task stops the engine with the task's name and the seq
up to which the log is whole.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from papertape.events.errors import EngineFault, PapertapeError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

WATCHERS_END_S = 0.8
LAST_WORDS_S = 1.2
"""For watchers that still have to send messages. A stop takes at most two seconds; the next start sends the rest."""


async def supervise(
    work: Callable[[], Awaitable[None]],
    watchers: Mapping[str, Callable[[], Awaitable[None]]],
    head_seq: Callable[[], int],
    with_last_words: Collection[str] = (),
) -> None:
    """Run the work and its watchers until the work ends; then give the watchers a moment to end.

    Watchers in `with_last_words` get a little longer. All tasks are created here, so none can remain unawaited after a
    failure. Raise what the first failing task raised, or EngineFault naming the task if that is not a PapertapeError.
    """
    tasks: dict[str, asyncio.Future[None]] = {}
    try:
        for name, make in {**watchers, "loop": work}.items():
            tasks[name] = asyncio.ensure_future(make())
        await _first_end(tasks, head_seq)
        await asyncio.wait(tasks.values(), timeout=WATCHERS_END_S)
        if slower := [tasks[name] for name in with_last_words if name in tasks]:
            await asyncio.wait(slower, timeout=LAST_WORDS_S - WATCHERS_END_S)
        _raise_failure(tasks, head_seq)
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)


async def _first_end(tasks: Mapping[str, asyncio.Future[None]], head_seq: Callable[[], int]) -> None:
    """Wait until the loop ends, or until a watcher fails."""
    waiting = set(tasks.values())
    while not tasks["loop"].done():
        _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        _raise_failure(tasks, head_seq)


def _raise_failure(tasks: Mapping[str, asyncio.Future[None]], head_seq: Callable[[], int]) -> None:
    """Raise the first failure, if any."""
    for name, task in tasks.items():
        if task.done() and not task.cancelled():
            try:
                task.result()
            except PapertapeError:
                raise
            except Exception as error:
                raise EngineFault(
                    f"{name} failed with {type(error).__name__}: {error}; the log is whole up to seq {head_seq()}"
                ) from error
