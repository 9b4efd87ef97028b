"""Nothing dies silently: the loop and those who watch it live and end together.

This is the one place that catches everything: a bug in any task stops the engine with the task's name and the
seq up to which the log is whole.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from events.errors import EngineFault, PapertapeError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

WATCHERS_END_S = 1.0
LAST_WORDS_S = 5.0
"""For those who still have to tell somebody outside."""


async def supervise(
    work: Awaitable[None],
    watchers: Mapping[str, Awaitable[None]],
    head_seq: Callable[[], int],
    with_last_words: Collection[str] = (),
) -> None:
    """Run the work and its watchers until the work ends; watchers have one second to end behind it.

    Those `with_last_words` have five. Raises what the first failing task raised, or EngineFault naming it when that is
    no error of ours.
    """
    tasks = {name: asyncio.ensure_future(watcher) for name, watcher in watchers.items()}
    tasks["loop"] = asyncio.ensure_future(work)
    try:
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
    """Wait until the loop ends; a watcher that fails before ends it all."""
    waiting = set(tasks.values())
    while not tasks["loop"].done():
        _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        _raise_failure(tasks, head_seq)


def _raise_failure(tasks: Mapping[str, asyncio.Future[None]], head_seq: Callable[[], int]) -> None:
    """Raise the first failure there is."""
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
