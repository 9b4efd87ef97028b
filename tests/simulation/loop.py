"""An event loop in which time is virtual: it jumps from timer to timer, and work for threads is done in place.

There is no socket and no thread, so two runs with one seed take the same steps. Timers fire a little late, by chance,
as real ones do; callbacks that are ready run in their order, which asyncio promises.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from random import Random

T = TypeVar("T")

LATE_S: Final = (0.0, 0.0, 0.0, 0.000_3, 0.002, 0.011)
"""How late a timer fires; one of these, by chance."""
LATE_DRAWN: Final = 1_021
WORK_S: Final = 0.001
"""How long work for a thread takes."""
STEPS_MAX: Final = 2_000_000
"""A schedule that takes more rounds of the loop does not end."""
WORLD: Final = 0

process: ContextVar[int] = ContextVar("process", default=WORLD)
"""The simulated process that the running code belongs to; `WORLD` is everything outside of processes."""


class SimulationStalled(RuntimeError):
    """Nothing is left to do although something is awaited, or the schedule does not end."""


class SimulatedFuture(asyncio.Future[T]):
    """A future with a hash that is the same in every run: sets keep one order. `owner` is the process that made it."""

    _numbers = itertools.count()

    def __init__(self, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._number, self.owner = next(self._numbers), process.get()

    def __hash__(self) -> int:
        return self._number


class SimulatedTask(asyncio.Task[T]):
    """A task with such a hash. `owner` is the process that it belongs to."""

    _numbers = itertools.count()

    def __init__(self, coro: Coroutine[Any, Any, T], **options: Any) -> None:
        self._number = next(self._numbers)
        context = options.get("context")
        self.owner = process.get() if context is None else context.get(process, WORLD)
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self._number


class _Timers:
    """What the loop asks instead of a selector: nothing arrives from outside, so its time jumps to the next timer."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.steps = 0

    def select(self, timeout: float | None) -> list[Any]:
        self.steps += 1
        if timeout is None:
            raise SimulationStalled("nothing is left to do, and something is still awaited")
        if timeout > 0.0:
            self.now_s += timeout
        if self.steps > STEPS_MAX:
            raise SimulationStalled(f"no end after {STEPS_MAX:,} rounds")
        return []


class SimulatedLoop(asyncio.BaseEventLoop):
    """The loop. `chance` decides how late timers fire."""

    def __init__(self, chance: Random) -> None:
        super().__init__()
        self._selector = self._timers = _Timers()
        self._late = itertools.cycle(chance.choices(LATE_S, k=LATE_DRAWN))
        self.set_task_factory(self._make_task)
        # The counts begin anew, so that a run does not depend on those before it.
        SimulatedFuture._numbers, SimulatedTask._numbers = itertools.count(), itertools.count()

    def time(self) -> float:
        """Return the virtual seconds since the loop was made."""
        return self._timers.now_s

    @property
    def steps(self) -> int:
        """How many rounds the loop has made."""
        return self._timers.steps

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Schedule a callback, which fires a little late."""
        late_s = next(self._late) if delay > 0.0 else 0.0
        return self.call_at(self._timers.now_s + delay + late_s, callback, *args, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future whose place in a set is the same in every run."""
        return SimulatedFuture(loop=self)

    def run_in_executor(  # type: ignore[override]
        self, _executor: object, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Do the work soon, in this thread, whatever the executor."""

        async def work() -> T:
            await asyncio.sleep(WORK_S)
            return func(*args)

        return self.create_task(work())

    def _process_events(self, event_list: list[Any]) -> None:
        """Do nothing: nothing arrives from outside."""

    def _write_to_self(self) -> None:
        """Do nothing: no other thread wakes the loop."""

    @staticmethod
    def _make_task(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
        return SimulatedTask(coro, loop=loop, **options)


def run(loop: SimulatedLoop, main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on the loop to its end, and end whatever it has left behind."""
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(main)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        asyncio.set_event_loop(None)
        loop.close()
