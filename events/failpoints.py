"""Failpoints: the named places at which a kill test lets the process die.

`PAPERTAPE_FAILPOINT=name[:nth]` in the environment ends the process with SIGKILL at the nth reach of that
place (the first, when `nth` is absent). Without the variable a failpoint does nothing.
"""

from __future__ import annotations

import functools
import os
import signal

from msgspec import Struct

from papertape.events.errors import ConfigError

VARIABLE = "PAPERTAPE_FAILPOINT"
FAILPOINTS = ("before_commit", "after_commit", "before_publish", "during_snapshot", "during_recovery")
"""Those of the engine: every run reaches them."""
NOTIFIER_FAILPOINTS = ("before_alert", "after_alert", "after_alert_cursor")
"""Around the sending of an alert: its place is durable, Telegram said yes, the cursor moved."""
RESTORE_FAILPOINTS = ("restore_staged", "restore_kept", "restore_unlinked", "restore_switched", "restore_laid")
"""On the way of a backup into the log's place: it is whole, the old log is kept, and what is moved, file by file."""
KNOWN = (*FAILPOINTS, *NOTIFIER_FAILPOINTS, *RESTORE_FAILPOINTS)


class _Armed(Struct):
    name: str
    reaches_left: int


def hit(name: str) -> None:
    """Die here when this failpoint is armed. Raises ConfigError for a name that is not in `KNOWN`."""
    armed = _armed()
    if name not in KNOWN:
        raise _unknown(name)
    if armed is None or armed.name != name:
        return
    armed.reaches_left -= 1
    if armed.reaches_left == 0:
        os.kill(os.getpid(), signal.SIGKILL)


@functools.cache
def _armed() -> _Armed | None:
    text = os.environ.get(VARIABLE, "")
    if not text:
        return None
    name, _, nth = text.partition(":")
    if name not in KNOWN:
        raise _unknown(name)
    if nth and not (nth.isdecimal() and int(nth) >= 1):
        raise ConfigError(f"{VARIABLE}={text}: the reach after the colon is a whole number from 1")
    return _Armed(name, int(nth or 1))


def _unknown(name: str) -> ConfigError:
    return ConfigError(f"{VARIABLE}={name}: there is no such failpoint; there are {', '.join(KNOWN)}")
