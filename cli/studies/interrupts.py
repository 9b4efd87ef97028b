"""Ctrl-C and SIGTERM in a study: once, the tasks in flight are finished and stored; twice, it stops at once."""

from __future__ import annotations

import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, Self

from papertape.cli.environment.early_signals import STOP_SIGNALS
from papertape.cli.environment.streams import write_message

if TYPE_CHECKING:
    from types import FrameType

FIRST = "stopping: the tasks in flight are finished and stored; Ctrl-C again stops at once\n"


class Interrupts:
    """Counts Ctrl-C and SIGTERM within a `with` block. The second of them raises KeyboardInterrupt."""

    def __init__(self) -> None:
        self.count = 0
        self._before: dict[signal.Signals, Any] = {}

    def is_stopped(self) -> bool:
        """Return whether one of them has arrived."""
        return self.count > 0

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in STOP_SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self.count > 1:
            raise KeyboardInterrupt
        write_message(FIRST, sys.stderr)
