"""Signals that arrive before a command handles them in its own loop.

Python drops an exception that a signal handler raises inside a destructor or a weak reference's callback, and every
import runs some: it prints a traceback, and the program goes on. Such a signal is delivered again instead.
"""

from __future__ import annotations

import _thread
import signal
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
REPEAT_S: Final = 0.01
"""How long after it was dropped a signal is delivered again: the callback that dropped it has returned by then."""


class _SignalExit(SystemExit):
    """The exit that a signal asks for."""

    def __init__(self, number: int, code: int) -> None:
        super().__init__(code)
        self.number = number


def repeat_dropped_signals() -> None:
    """Deliver a signal again whose exception Python drops, without a traceback. Other dropped exceptions are shown."""
    show = sys.unraisablehook

    def repeat(dropped: sys.UnraisableHookArgs) -> None:
        error = dropped.exc_value
        if isinstance(error, KeyboardInterrupt):
            _deliver_again(signal.SIGINT)
        elif isinstance(error, _SignalExit):
            _deliver_again(error.number)
        else:
            show(dropped)

    sys.unraisablehook = repeat


def _deliver_again(number: int) -> None:
    def deliver() -> None:
        time.sleep(REPEAT_S)
        signal.raise_signal(number)

    with suppress(RuntimeError):  # Python starts no thread while it exits.
        _thread.start_new_thread(deliver, ())


def exit_on_signals(numbers: Sequence[signal.Signals], exit_code: Callable[[int], int]) -> None:
    """Exit on these signals from now on, with the code that `exit_code` returns for the signal's number."""

    def leave(number: int, _: object) -> None:
        raise _SignalExit(number, exit_code(number))

    for number in numbers:
        signal.signal(number, leave)


def call_on_stop(stop: Callable[[], None]) -> None:
    """Call `stop` in the running event loop on SIGTERM and SIGINT."""
    import asyncio  # noqa: PLC0415 - slow to import, and every command imports this module.

    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop)
