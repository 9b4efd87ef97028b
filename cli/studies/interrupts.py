"""Ctrl-C in a study: once, the tasks in flight are finished and stored; twice, it stops at once."""

from __future__ import annotations

import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, Self

from papertape.cli.environment.streams import write_message

if TYPE_CHECKING:
    from types import FrameType

FIRST = "stopping: the tasks in flight are finished and stored; Ctrl-C again stops at once\n"


class Interrupts:
    """Counts Ctrl-C within a `with` block. The second one raises KeyboardInterrupt."""

    def __init__(self) -> None:
        self.count = 0
        self._before: Any = signal.SIG_DFL

    def is_stopped(self) -> bool:
        """Return whether Ctrl-C was pressed."""
        return self.count > 0

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._before)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self.count > 1:
            raise KeyboardInterrupt
        write_message(FIRST, sys.stderr)
