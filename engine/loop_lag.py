"""How late the event loop is, measured by a thread: a loop that hangs cannot measure itself.

Every tenth of a second the thread asks the loop for a sign and takes the time. Where none comes within a second it
writes down what every thread is doing, while it is doing it.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections import deque
from typing import TYPE_CHECKING, Self

from msgspec import Struct

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from pathlib import Path
    from types import FrameType, TracebackType

EVERY_S = 0.1
HANG_S = 1.0
TELL_EVERY_S = 60.0
WINDOW_PROBES = 600
"""Statistics are of about the last minute."""
THREADS_MAX = 50
FRAMES_MAX = 40
STACKS_CHARS_MAX = 60_000
FILE_BYTES_MAX = 1_000_000
ASLEEP_TIMES = 3.0
"""When the thread itself woke so late, the whole process stood still: that is no hang of the loop."""
JOIN_S_MAX = 5.0


class LoopLagStatistics(Struct, frozen=True):
    """Lags of the last minute in ms (None before the first), and what happened since the start."""

    last_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    probes: int
    hangs: int
    stacks_told: int
    failed_tells: int


class LoopLagMonitor:
    """The thread. `append_entry` gets the stacks, in the thread; what it raises as an OSError is counted.

    `with LagWatch(loop, tell):` starts and stops it. A loop that is closed, or does not run, does not hang.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        tell: Callable[[str], None],
        every_s: float = EVERY_S,
        hang_s: float = HANG_S,
        tell_every_s: float = TELL_EVERY_S,
    ) -> None:
        self._loop, self._tell = loop, tell
        self._every_s, self._hang_s, self._tell_every_s = every_s, hang_s, tell_every_s
        self._thread = threading.Thread(target=self._watch, name="loop lag", daemon=True)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._lags_s: deque[float] = deque(maxlen=WINDOW_PROBES)
        self._probes = self._hangs = self._told = self._failed = 0
        self._told_at_s = float("-inf")
        self._loop_thread_id = 0
        self._answered = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Begin. Once."""
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for it. Twice is harmless."""
        self._stopping.set()
        self._answered.set()
        if self._thread.is_alive():
            self._thread.join(JOIN_S_MAX)

    def statistics(self) -> LoopLagStatistics:
        """What was measured so far."""
        with self._lock:
            lags = sorted(self._lags_s)
            last = self._lags_s[-1] * 1_000.0 if lags else None
            counts = (self._probes, self._hangs, self._told, self._failed)
        p99 = lags[(len(lags) - 1) * 99 // 100] * 1_000.0 if lags else None
        return LoopLagStatistics(last, p99, lags[-1] * 1_000.0 if lags else None, *counts)

    # ------------------------------------------------------------ in the thread

    def _watch(self) -> None:
        while not self._stopping.wait(self._every_s):
            if not self._probe():
                return

    def _probe(self) -> bool:
        """Ask once; False when there is nobody to ask any more."""
        answered = self._answered = threading.Event()
        if self._stopping.is_set():  # `stop` may have waked the question before this one.
            return False
        asked_s = time.monotonic()
        try:
            self._loop.call_soon_threadsafe(self._answer, answered)
        except RuntimeError:  # The loop is closed.
            return False
        if not answered.wait(self._hang_s):
            self._hung(time.monotonic() - asked_s)
            while not answered.wait(self._hang_s):
                if self._stopping.is_set() or self._loop.is_closed():
                    return False
        if not self._stopping.is_set():
            with self._lock:
                self._probes += 1
                self._lags_s.append(time.monotonic() - asked_s)
        return True

    def _answer(self, answered: threading.Event) -> None:
        self._loop_thread_id = threading.get_ident()
        answered.set()

    def _hung(self, waited_s: float) -> None:
        """No sign within the time: write down why, unless the engine ends or the process stood still."""
        stood_still = waited_s > self._hang_s * ASLEEP_TIMES
        if self._stopping.is_set() or stood_still or not self._loop.is_running():
            return
        now_s = time.monotonic()
        may_tell = now_s - self._told_at_s >= self._tell_every_s
        with self._lock:
            self._hangs += 1
        if not may_tell:
            return
        self._told_at_s = now_s
        try:
            self._tell(f"the event loop gave no sign for {waited_s:.1f} s\n{format_stacks(self._loop_thread_id)}")
        except OSError:
            with self._lock:
                self._failed += 1
        else:
            with self._lock:
                self._told += 1


def format_stacks(first_thread_id: int = 0) -> str:
    """What every thread is doing now, newest call last, the given one first; of limited length."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    frames: dict[int, FrameType] = sys._current_frames()  # noqa: SLF001 - there is no other way to a running thread.
    chosen = sorted(frames, key=lambda ident: (ident != first_thread_id, ident))[:THREADS_MAX]
    parts = [f"thread {names.get(ident, ident)}:\n{_stack(frames[ident])}" for ident in chosen]
    return "\n".join(parts)[:STACKS_CHARS_MAX]


def _stack(frame: FrameType) -> str:
    return "".join(traceback.format_stack(frame)[-FRAMES_MAX:])


def stacks_file(path: Path, now: Callable[[], str]) -> Callable[[str], None]:
    """A `append_entry` that appends to a file, each entry under the time `now` says; a full file begins anew."""

    def append_entry(text: str) -> None:
        entry = f"== {now()} {text}\n"
        full = path.exists() and path.stat().st_size + len(entry) > FILE_BYTES_MAX
        with path.open("w" if full else "a", encoding="utf-8") as file:
            file.write(entry)

    return append_entry
