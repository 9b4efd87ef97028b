"""The newest backup attempt to each destination, recorded beside the log by the process that makes it.

An attempt holds the lock of its file while it runs, so a killed one is recognised as begun, not ended and not locked.
This works across containers that share the log's folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from papertape.events.beside import real_path, sibling_path
from papertape.events.errors import PapertapeError
from papertape.events.units import DAY_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SUFFIX = ".backup-attempts"
FORGET_MS = 7 * DAY_MS
"""A destination that has not been tried for this long is considered unused."""
KILLED = "it was killed before it ended"
FAILURE_CHARS_MAX = 300


class Attempt(Struct, frozen=True):
    """The newest attempt to a destination. `failure` is empty for a good one; `good_at_ms` is the last good one's end.

    `ended_at_ms` is 0 while it runs, or if it was killed.
    """

    destination: str
    began_at_ms: int
    ended_at_ms: int = 0
    failure: str = ""
    good_at_ms: int = 0


@contextmanager
def recorded_attempt(
    db: Path, destination: Path, clock_ms: Callable[[], int], warn: Callable[[str], None]
) -> Iterator[None]:
    """Record how the backup in this context ends. If the record cannot be written, warn and make the backup anyway."""
    if not real_path(db).exists():
        yield  # The backup itself reports this.
        return
    try:
        descriptor = _locked(db, destination)
    except OSError as error:
        warn(f"the backup is made, but not recorded beside the log: {error.strerror}")
        yield
        return
    try:
        before = _decoded(os.pread(descriptor, 65_536, 0))
        good_at_ms = 0 if before is None else before.good_at_ms
        attempt = Attempt(str(destination.absolute()), clock_ms(), good_at_ms=good_at_ms)
        _write(descriptor, attempt)
        try:
            yield
        except (PapertapeError, OSError) as error:
            failure = f"{type(error).__name__}: {error}"[:FAILURE_CHARS_MAX]
            _write(descriptor, replace(attempt, ended_at_ms=clock_ms(), failure=failure))
            raise
        now_ms = clock_ms()
        _write(descriptor, replace(attempt, ended_at_ms=now_ms, good_at_ms=now_ms))
    finally:
        os.close(descriptor)


def failed_attempts(db: Path, now_ms: int) -> list[Attempt]:
    """Return the newest attempts that failed or were killed, one for each destination that is still used."""
    attempts = []
    for path in sorted(sibling_path(db, SUFFIX).glob("*.json")):
        with suppress(OSError):
            attempt = _ended(path)
            if attempt is not None and attempt.failure and now_ms - attempt.began_at_ms < FORGET_MS:
                attempts.append(attempt)
    return attempts


def _locked(db: Path, destination: Path) -> int:
    """Return the open file of a destination, locked; wait while another attempt to it runs."""
    folder = sibling_path(db, SUFFIX)
    folder.mkdir(exist_ok=True)
    name = hashlib.sha256(str(destination.absolute()).encode()).hexdigest()[:12]
    descriptor = os.open(folder / f"{name}.json", os.O_RDWR | os.O_CREAT, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def _write(descriptor: int, attempt: Attempt) -> None:
    with suppress(OSError):  # On a full disk, the record stays that of a killed attempt.
        content = msgspec.json.encode(attempt)
        os.pwrite(descriptor, content, 0)
        os.ftruncate(descriptor, len(content))


def _ended(path: Path) -> Attempt | None:
    """Return an attempt that has ended; None while it runs, or if the file holds nothing readable."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        attempt = _decoded(file.read())
    if attempt is None or attempt.ended_at_ms:
        return attempt
    return replace(attempt, failure=KILLED)


def _decoded(content: bytes) -> Attempt | None:
    with suppress(msgspec.DecodeError):
        return msgspec.json.decode(content, type=Attempt)
    return None
