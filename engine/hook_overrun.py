"""Stop a hook that does not end, at no cost for those that do.

A timer counts the processor time of the process, so an idle engine is never woken and a busy machine changes nothing.
At each tick the handler looks at the stack. If the same call of a hook is on it after `OVERRUN_S` of the thread's
processor time, an exception raised inside the hook ends it; a hook that catches everything is struck again, more often.
"""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from papertape.engine.reducer.hook_guard import HookOverrun

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from types import CodeType, FrameType

OVERRUN_S: Final = 2.0
TICK_S: Final = 0.5
STRIKE_AGAIN_S: Final = 0.01


class _OverrunWatch:
    """Remembers which call of a hook was on the stack at the last tick, and since when."""

    def __init__(self, guards: Collection[CodeType], overrun_s: float) -> None:
        self._guards, self._overrun_s = guards, overrun_s
        self._call: FrameType | None = None
        self._since_s = 0.0
        self._struck = False

    def tick(self, _signal: int, frame: FrameType | None) -> None:
        """Look at the stack; raise HookOverrun inside a hook that has run for too long."""
        call = guarded_call(frame, self._guards)
        now_s = time.thread_time()
        if call is not self._call or call is None:
            self._call, self._since_s = call, now_s
            if self._struck:
                self._struck = False
                signal.setitimer(signal.ITIMER_PROF, TICK_S, TICK_S)
            return
        if now_s - self._since_s >= self._overrun_s and frame is not call:
            if not self._struck:
                self._struck = True
                signal.setitimer(signal.ITIMER_PROF, STRIKE_AGAIN_S, STRIKE_AGAIN_S)
            raise HookOverrun(f"it did not end within {self._overrun_s:g} s of processor time")


def guarded_call(frame: FrameType | None, guards: Collection[CodeType]) -> FrameType | None:
    """Return the frame of the guarded call that a stack is in, None if it is in none."""
    while frame is not None and frame.f_code not in guards:
        frame = frame.f_back
    return frame


@contextmanager
def ended_overruns(guards: Collection[CodeType], overrun_s: float = OVERRUN_S) -> Iterator[None]:
    """End hooks that do not end while the block runs. It must run in the main thread, which alone handles signals."""
    before = signal.signal(signal.SIGPROF, _OverrunWatch(guards, overrun_s).tick)
    signal.setitimer(signal.ITIMER_PROF, TICK_S, TICK_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, before)
