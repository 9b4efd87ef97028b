"""Stop a hook that does not end, at no cost for those that do.

Two timers look at the stack. One counts the processor time of the process: if the same call of a hook is on the stack
after `OVERRUN_S` of the thread's processor time, an exception raised inside the hook ends it. The other counts the
wall-clock time in which a call sleeps or waits. It counts no more than its own ticks, and of those only the ones in
which the thread got next to no work done: neither a busy machine nor one that was suspended makes it hit a hook that
works. A hook that catches everything is struck again, more often, and where it goes on after it has caught something.
"""

from __future__ import annotations

import dis
import signal
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from papertape.engine.reducer.hook_guard import HookOverrun

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from types import CodeType, FrameType

OVERRUN_S: Final = 2.0
TICK_S: Final = 0.5
BLOCKED_S: Final = 20.0
"""Well below the silence after which a supervisor restarts the engine."""
BLOCKED_TICKS: Final = 8
WORK_SHARE_MIN: Final = 0.01
"""A thread that got less of a tick than this was waiting."""
STRIKE_AGAIN_S: Final = 0.01
PUSH_EXC_INFO: Final = dis.opmap["PUSH_EXC_INFO"]
"""The instruction with which Python begins to catch an exception."""


class _OverrunWatch:
    """Remembers which call of a hook was on the stack at the last tick of its timer, and since when.

    `measure` returns the seconds that count, of which a call may take `limit_s`; `text` is the error of one that takes
    more.
    """

    def __init__(
        self,
        guards: Collection[CodeType],
        timer: int,
        tick_s: float,
        measure: Callable[[], float],
        limit_s: float,
        text: str,
    ) -> None:
        self._guards, self.timer, self._tick_s = guards, timer, tick_s
        self._measure, self._limit_s, self._text = measure, limit_s, text
        self._call: FrameType | None = None
        self._since_s = 0.0
        self._struck = False

    def start(self) -> None:
        """Start the timer."""
        if self._struck:
            sys.settrace(None)
        self._struck = False
        signal.setitimer(self.timer, self._tick_s, self._tick_s)

    def stop(self) -> None:
        """Stop the timer."""
        signal.setitimer(self.timer, 0.0)
        if self._struck:
            sys.settrace(None)
        self._struck = False

    def tick(self, _signal: int, frame: FrameType | None) -> None:
        """Look at the stack; raise HookOverrun inside a hook that has run for too long."""
        call = guarded_call(frame, self._guards)
        now_s = self._measure()
        if call is not self._call or call is None:
            self._call, self._since_s = call, now_s
            if self._struck:
                self.start()
            return
        if now_s - self._since_s >= self._limit_s and frame is not call:
            if self._struck:
                raise_where_it_goes_on(frame, call, self._text)
            else:
                self._struck = True
                signal.setitimer(self.timer, STRIKE_AGAIN_S, STRIKE_AGAIN_S)
            raise HookOverrun(self._text)


class _WaitingTime:
    """Counts the seconds in which the thread waited: each call adds a tick if it did next to no work since the last."""

    def __init__(self, tick_s: float) -> None:
        self._tick_s = tick_s
        self._waited_s, self._worked_s = 0.0, time.thread_time()

    def __call__(self) -> float:
        """Return the seconds so far."""
        worked_s = time.thread_time()
        if worked_s - self._worked_s < self._tick_s * WORK_SHARE_MIN:
            self._waited_s += self._tick_s
        self._worked_s = worked_s
        return self._waited_s


def raise_where_it_goes_on(frame: FrameType | None, call: FrameType, text: str) -> None:
    """Raise HookOverrun at the next line of each function between a frame and the guarded call.

    A signal always finds a sleeping function asleep, so its exception always meets the same `except`; one raised at a
    later line does not. Python itself ends the tracing as soon as it has raised.
    """

    def strike(at: FrameType, event: str, _: object) -> Callable[..., object]:
        # Raised while an exception is being caught, it would leave that one behind as the one being handled.
        catching = sys.exc_info()[1] is not None or at.f_code.co_code[at.f_lasti] == PUSH_EXC_INFO
        if event == "line" and not catching:
            raise HookOverrun(text)
        return strike

    while frame is not None and frame is not call:
        frame.f_trace = strike
        frame = frame.f_back
    sys.settrace(lambda _, __, ___: None)


def guarded_call(frame: FrameType | None, guards: Collection[CodeType]) -> FrameType | None:
    """Return the frame of the guarded call that a stack is in, None if it is in none."""
    while frame is not None and frame.f_code not in guards:
        frame = frame.f_back
    return frame


@contextmanager
def ended_overruns(
    guards: Collection[CodeType], overrun_s: float = OVERRUN_S, blocked_s: float = BLOCKED_S
) -> Iterator[None]:
    """End hooks that do not end while the block runs. It must run in the main thread, which alone handles signals."""
    overran = f"it did not end within {overrun_s:g} s of processor time"
    waited = f"it slept or waited for {blocked_s:g} s and did not end"
    tick_s = blocked_s / BLOCKED_TICKS
    working = _OverrunWatch(guards, signal.ITIMER_PROF, TICK_S, time.thread_time, overrun_s, overran)
    waiting = _OverrunWatch(guards, signal.ITIMER_REAL, tick_s, _WaitingTime(tick_s), blocked_s, waited)
    with _ticking(signal.SIGPROF, working), _ticking(signal.SIGALRM, waiting):
        yield


@contextmanager
def _ticking(number: signal.Signals, watch: _OverrunWatch) -> Iterator[None]:
    """Let a watch tick on its signal while the block runs."""
    before, armed = signal.signal(number, watch.tick), signal.getitimer(watch.timer)
    watch.start()
    try:
        yield
    finally:
        watch.stop()
        signal.signal(number, before)
        signal.setitimer(watch.timer, *armed)
