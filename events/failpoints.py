"""Failpoints: the named places at which a kill test ends the process.

`PAPERTAPE_FAILPOINT=name[:nth]` in the environment kills the process with SIGKILL when it reaches that place for the
nth time (the first time if `nth` is omitted). Without the variable a failpoint does nothing.
"""

from __future__ import annotations

import functools
import os
import signal

from msgspec import Struct

from papertape.events.errors import ConfigError

VARIABLE = "PAPERTAPE_FAILPOINT"
FAILPOINTS = ("before_commit", "after_commit", "before_publish", "during_snapshot", "during_recovery")
"""In the engine: every run reaches them."""
NOTIFIER_FAILPOINTS = ("before_alert", "after_alert", "after_alert_cursor")
"""While an alert is sent: its seq is durable, Telegram has accepted it, the cursor has advanced."""
RESTORE_FAILPOINTS = ("restore_staged", "restore_kept", "restore_unlinked", "restore_switched", "restore_laid")
"""While a backup is restored: the copy is complete, the old log is kept, and each file that is moved."""
CHECKPOINT_FAILPOINTS = ("during_checkpoint",)
"""While a fold's checkpoint is saved: its chunks are written, but nothing is committed."""
SEAL_FAILPOINTS = ("seal_written", "seal_catalogued", "seal_deleted")
"""While old commits are sealed: the file is durable, the catalogue lists it, some of its rows left SQLite."""
UNSEAL_FAILPOINTS = ("unseal_written", "unseal_emptied", "unseal_switched", "seal_leftover_removed")
"""While a log becomes one file again: it is complete, the old one has no -wal, is replaced, and a segment is gone."""
ARCHIVE_FAILPOINTS = ("archive_copied", "archive_entered", "archive_removed")
"""While segments are archived: one is copied, the catalogue names its new place, the old file is gone."""
KNOWN = (
    *FAILPOINTS,
    *NOTIFIER_FAILPOINTS,
    *RESTORE_FAILPOINTS,
    *SEAL_FAILPOINTS,
    *UNSEAL_FAILPOINTS,
    *ARCHIVE_FAILPOINTS,
    *CHECKPOINT_FAILPOINTS,
)


class _Armed(Struct):
    name: str
    reaches_left: int


def hit(name: str) -> None:
    """Kill this process if this failpoint is armed. Raise ConfigError for a name that is not in `KNOWN`."""
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
        raise ConfigError(f"{VARIABLE}={text}: the count after the colon must be a whole number from 1")
    return _Armed(name, int(nth or 1))


def _unknown(name: str) -> ConfigError:
    return ConfigError(f"{VARIABLE}={name}: there is no such failpoint; the failpoints are {', '.join(KNOWN)}")
