"""Signals that arrive before a command handles them in its own loop.

Python drops an exception that a signal handler raises inside a destructor or a weak reference's callback, and every
import runs some. So the handler also records its signal, and whoever takes over signal handling checks the record.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_received: list[int] = []


def exit_on_signals(numbers: Sequence[signal.Signals], exit_code: Callable[[int], int]) -> None:
    """Record these signals from now on, and exit with the code that `exit_code` returns for the signal's number."""

    def leave(number: int, _: object) -> None:
        _received.append(number)
        raise SystemExit(exit_code(number))

    for number in numbers:
        signal.signal(number, leave)


def was_signalled() -> bool:
    """Return whether a recorded signal has arrived."""
    return bool(_received)


def call_on_stop(stop: Callable[[], None]) -> None:
    """Call `stop` in the running event loop on SIGTERM and SIGINT, and at once if a signal has already arrived."""
    import asyncio  # noqa: PLC0415 - slow to import, and every command imports this module.

    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop)
    if _received:
        stop()
