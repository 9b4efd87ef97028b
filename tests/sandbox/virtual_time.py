"""Virtual time: an event loop whose clock jumps to the next timer whenever nothing is left to do.

Sockets are real. Time jumps only when no socket has bytes and no thread works, so an answer that is on its way
over loopback always comes before the timer that waits for it.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from tests.patience import PATIENCE_S

T = TypeVar("T")

WAIT_SLICE_S: Final = 0.05
STALL_S: Final = PATIENCE_S
"""A run in which for so many real seconds neither time jumps nor a socket has bytes is ended."""
VIRTUAL_S_MAX: Final = 400.0 * 86_400.0
"""A run that goes on for longer than this in virtual seconds is ended: what it waits for never comes."""


class VirtualTimeStalled(RuntimeError):
    """Nothing moves any more, or the end of virtual time is reached."""


class _JumpingSelector(selectors.DefaultSelector):
    """Asks for sockets without waiting, and lets the loop's time jump where another one would wait."""

    def __init__(self, stall_s: float, virtual_s_max: float) -> None:
        super().__init__()
        self.now_s = 0.0
        self.jumps = 0
        self.at_work = 0
        self._stall_s = stall_s
        self._virtual_s_max = virtual_s_max
        self._moved_s = time.monotonic()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events:
            return self._moved(events)
        if timeout is not None and timeout <= 0.0:
            self._check()
            return events
        if timeout is None or self.at_work > 0:
            return self._waited()
        if len(self.get_map()) > 1:
            # Beyond the loop's own pair there are sockets. Linux delivers on loopback before `send` returns; for the
            # rare time when it leaves that to a thread of its own, the processor is given away once.
            os.sched_yield()
            events = super().select(0)
        return self._moved(events) if events else self._jumped(timeout)

    def _jumped(self, seconds: float) -> list[tuple[selectors.SelectorKey, int]]:
        self.now_s += seconds
        self.jumps += 1
        if self.now_s > self._virtual_s_max:
            raise VirtualTimeStalled(f"virtual time went beyond {self._virtual_s_max} s: what is awaited never comes")
        return self._moved([])

    def _waited(self) -> list[tuple[selectors.SelectorKey, int]]:
        while True:
            events = super().select(WAIT_SLICE_S)
            if events:
                return self._moved(events)
            self._check()

    def _moved(self, events: list[tuple[selectors.SelectorKey, int]]) -> list[tuple[selectors.SelectorKey, int]]:
        self._moved_s = time.monotonic()
        return events

    def _check(self) -> None:
        if time.monotonic() - self._moved_s > self._stall_s:
            self._moved_s = time.monotonic()
            why = f"{self.at_work} pieces of work in threads do not end" if self.at_work else "nothing moves"
            raise VirtualTimeStalled(f"for {self._stall_s} real seconds at {self.now_s:.3f} virtual ones: {why}")


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop. `time()` begins at 0 and is virtual; whatever sleeps by the loop sleeps by it."""

    def __init__(self, stall_s: float = STALL_S, virtual_s_max: float = VIRTUAL_S_MAX) -> None:
        self._jumping = _JumpingSelector(stall_s, virtual_s_max)
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._jumping.now_s

    @property
    def jumps(self) -> int:
        """How often time has jumped."""
        return self._jumping.jumps

    @contextmanager
    def real_work(self) -> Iterator[None]:
        """Time stands still inside: for work of threads, processes or the outside that the loop cannot see."""
        self._jumping.at_work += 1
        try:
            yield
        finally:
            self._jumping.at_work -= 1

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """As ever; time stands still until the work is done."""
        future: asyncio.Future[T] = super().run_in_executor(executor, func, *args)
        self._jumping.at_work += 1
        future.add_done_callback(self._worked)
        return future

    async def shutdown_default_executor(self, *timeout: Any) -> None:
        """As ever; the threads end in real time."""
        with self.real_work():
            await super().shutdown_default_executor(*timeout)

    def _worked(self, _future: asyncio.Future[Any]) -> None:
        self._jumping.at_work -= 1


class VirtualClock:
    """The clock of a virtual loop (`engine.ports.clock.Clock`): it shows `start_ms` when the loop is made."""

    def __init__(self, loop: asyncio.AbstractEventLoop, start_ms: int) -> None:
        self._loop = loop
        self._start_ms = start_ms

    def now_ms(self) -> int:
        """The time in milliseconds since 1970 UTC. A microsecond is added: sums of seconds are a little short."""
        return self._start_ms + int(self._loop.time() * 1000.0 + 0.001)

    def steady_ms(self) -> int:
        """Virtual milliseconds since the loop was made, whatever the clock shows."""
        return int(self._loop.time() * 1000.0 + 0.001)

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` of virtual time pass."""
        await asyncio.sleep(max(0.0, seconds))


def run(
    main: Callable[[VirtualClock], Coroutine[Any, Any, T]],
    start_ms: int = 0,
    stall_s: float = STALL_S,
    virtual_s_max: float = VIRTUAL_S_MAX,
) -> T:
    """Run `main(clock)` in virtual time, as `asyncio.run` does.

    Raises `VirtualTimeStalled` when nothing moves for `stall_s` real seconds, or time goes beyond `virtual_s_max`.
    """

    async def on_the_loop() -> T:
        return await main(VirtualClock(asyncio.get_running_loop(), start_ms))

    with asyncio.Runner(loop_factory=lambda: VirtualLoop(stall_s, virtual_s_max)) as runner:
        return runner.run(on_the_loop())


def virtual_loop() -> VirtualLoop:
    """The running loop, where it is a virtual one."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop), f"{loop} runs in real time: start with tests.sandbox.virtual_time.run"
    return loop
