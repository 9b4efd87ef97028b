"""Measure the lag of the event loop in a thread: a loop that hangs cannot measure itself.

Every tenth of a second the thread schedules a callback in the loop and measures how long it takes to run. After a
second without one, it records the stack of every thread while the loop hangs.
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
RECORD_EVERY_S = 60.0
WINDOW_PROBES = 600
"""The statistics cover about the last minute."""
THREADS_MAX = 50
FRAMES_MAX = 40
STACKS_CHARS_MAX = 60_000
FILE_BYTES_MAX = 1_000_000
ASLEEP_TIMES = 3.0
"""If the thread itself wakes this many times too late, the whole process was suspended: the loop did not hang."""
JOIN_S_MAX = 5.0


class LoopLagStatistics(Struct, frozen=True):
    """The lags of the last minute in ms (None before the first), and counts since the start."""

    last_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    probes: int
    hangs: int
    stacks_recorded: int
    failed_records: int


class LoopLagMonitor:
    """The measuring thread. It passes the stacks to `record`, and counts each OSError that this raises.

    `with LoopLagMonitor(loop, record):` starts and stops it. A loop that is closed or not running does not hang.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        record: Callable[[str], None],
        every_s: float = EVERY_S,
        hang_s: float = HANG_S,
        record_every_s: float = RECORD_EVERY_S,
    ) -> None:
        self._loop, self._record = loop, record
        self._every_s, self._hang_s, self._record_every_s = every_s, hang_s, record_every_s
        self._thread = threading.Thread(target=self._watch, name="loop lag", daemon=True)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._lags_s: deque[float] = deque(maxlen=WINDOW_PROBES)
        self._probes = self._hangs = self._records = self._failures = 0
        self._recorded_at_s = float("-inf")
        self._loop_thread_id = 0
        self._called = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the thread. Call it once."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread and wait for it. Stopping twice is harmless."""
        self._stopping.set()
        self._called.set()
        if self._thread.is_alive():
            self._thread.join(JOIN_S_MAX)

    def statistics(self) -> LoopLagStatistics:
        """Return the measurements so far."""
        with self._lock:
            lags = sorted(self._lags_s)
            last = self._lags_s[-1] * 1_000.0 if lags else None
            counts = (self._probes, self._hangs, self._records, self._failures)
        p99 = lags[(len(lags) - 1) * 99 // 100] * 1_000.0 if lags else None
        return LoopLagStatistics(last, p99, lags[-1] * 1_000.0 if lags else None, *counts)

    # ------------------------------------------------------------ in the thread

    def _watch(self) -> None:
        while not self._stopping.wait(self._every_s):
            if not self._probe():
                return

    def _probe(self) -> bool:
        """Measure once; return False if the loop is closed or the thread is stopping."""
        called = self._called = threading.Event()
        if self._stopping.is_set():  # `stop` may have set the event of the previous probe.
            return False
        started_s = time.monotonic()
        try:
            self._loop.call_soon_threadsafe(self._call_back, called)
        except RuntimeError:  # The loop is closed.
            return False
        if not called.wait(self._hang_s):
            self._record_hang(time.monotonic() - started_s)
            while not called.wait(self._hang_s):
                if self._stopping.is_set() or self._loop.is_closed():
                    return False
        if not self._stopping.is_set():
            with self._lock:
                self._probes += 1
                self._lags_s.append(time.monotonic() - started_s)
        return True

    def _call_back(self, called: threading.Event) -> None:
        self._loop_thread_id = threading.get_ident()
        called.set()

    def _record_hang(self, waited_s: float) -> None:
        """Count a hang and record all stacks, unless the loop ends or the process was suspended."""
        was_suspended = waited_s > self._hang_s * ASLEEP_TIMES
        if self._stopping.is_set() or was_suspended or not self._loop.is_running():
            return
        now_s = time.monotonic()
        with self._lock:
            self._hangs += 1
        if now_s - self._recorded_at_s < self._record_every_s:
            return
        self._recorded_at_s = now_s
        try:
            self._record(f"the event loop did not respond for {waited_s:.1f} s\n{format_stacks(self._loop_thread_id)}")
        except OSError:
            with self._lock:
                self._failures += 1
        else:
            with self._lock:
                self._records += 1


def format_stacks(first_thread_id: int = 0) -> str:
    """Return the stack of every thread, newest call last, that of `first_thread_id` first; of limited length."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    frames: dict[int, FrameType] = sys._current_frames()  # noqa: SLF001 - there is no other way to a running thread.
    threads = sorted(frames, key=lambda ident: (ident != first_thread_id, ident))[:THREADS_MAX]
    parts = [f"thread {names.get(ident, ident)}:\n{_format_stack(frames[ident])}" for ident in threads]
    return "\n".join(parts)[:STACKS_CHARS_MAX]


def _format_stack(frame: FrameType) -> str:
    return "".join(traceback.format_stack(frame)[-FRAMES_MAX:])


def stacks_file(path: Path, now: Callable[[], str]) -> Callable[[str], None]:
    """Return a function that appends entries to a file, each under the time from `now`; a full file is overwritten."""

    def append_entry(text: str) -> None:
        entry = f"== {now()} {text}\n"
        is_full = path.exists() and path.stat().st_size + len(entry) > FILE_BYTES_MAX
        with path.open("w" if is_full else "a", encoding="utf-8") as file:
            file.write(entry)

    return append_entry
