"""Nothing dies silently: the loop and those who watch it live and end together.

This is the one place that catches everything: a bug in any task stops the engine with the task's name and the
seq up to which the log is whole.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from papertape.events.errors import EngineFault, PapertapeError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

WATCHERS_END_S = 0.8
LAST_WORDS_S = 1.2
"""For those who still have to tell somebody outside. Whoever asked the engine to end waits no longer than two seconds,
and what was not told by then is told by the next start."""


async def supervise(
    work: Callable[[], Awaitable[None]],
    watchers: Mapping[str, Callable[[], Awaitable[None]]],
    head_seq: Callable[[], int],
    with_last_words: Collection[str] = (),
) -> None:
    """Run the work and its watchers until the work ends; watchers have a moment to end behind it.

    Those `with_last_words` have a little longer. All are made here, so that none is left behind that nobody awaits
    where something fails before. Raises what the first failing task raised, or EngineFault naming it when that is
    no error of ours.
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
