"""The bus across processes: announces to the followers of a log that it has grown, when another process writes it.

While somebody waits, it polls the end of the log a few times a second. A poll is one short read of a single number.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from papertape.events.errors import LogBusy, LogDamaged, LogError, LogForeign, LogMissing, LogReplaced, UsageError
from papertape.events.place import Identity, file_identity
from papertape.events.sqlite_file import connect_to_read, translate_driver_errors

if TYPE_CHECKING:
    from collections.abc import Callable

POLL_EVERY_S: Final = 0.05
WAITERS_MAX: Final = 64
FAILED_POLLS_MAX: Final = 200
"""After so many consecutive failures, ten seconds of them, the error is raised."""

_HEAD = "SELECT seq + count - 1 FROM commits ORDER BY seq DESC LIMIT 1"


class Tail:
    """Reports how far a log is committed. It belongs to one event loop and to one log; close it at the end."""

    def __init__(
        self, poll: Callable[[], int], release: Callable[[], None] = lambda: None, every_s: float = POLL_EVERY_S
    ) -> None:
        """Poll with `poll`, which returns the newest seq; `release` frees what it uses.

        A LogBusy from `poll` is retried, for a limited time; any other LogError is final.
        """
        self._poll, self._release, self._every_s = poll, release, every_s
        self._head_seq, self._has_looked = 0, False
        self._waiters = 0
        self._failed_polls = 0
        self._due_s = 0.0
        self._final: LogError | None = None
        self._closed = asyncio.Event()

    @property
    def head_seq(self) -> int:
        """The newest seq seen so far."""
        return self._head_seq

    @property
    def has_looked(self) -> bool:
        """Whether a poll has succeeded yet; until then nobody knows whether the log has events."""
        return self._has_looked

    @property
    def closed(self) -> bool:
        """Whether this is closed, so that it polls no more."""
        return self._closed.is_set()

    async def wait_beyond(self, seq: int) -> int:
        """Wait until the newest seq is beyond `seq`, and return it; a closed tail returns its last seq at once.

        Raise LogReplaced if another log took the place of this one, LogError if it cannot be read, and UsageError if
        WAITERS_MAX callers are already waiting.
        """
        if self._waiters >= WAITERS_MAX:
            raise UsageError(f"{WAITERS_MAX} callers are already waiting for one log")
        self._waiters += 1
        try:
            self._poll_when_due()
            while self._head_seq <= seq and not self.closed:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._every_s):
                        await self._closed.wait()
                self._poll_when_due()
        finally:
            self._waiters -= 1
        return self._head_seq

    def close(self) -> None:
        """Wake all waiters for the last time. Closing twice is harmless."""
        if not self.closed:
            self._closed.set()
            self._release()

    def _poll_when_due(self) -> None:
        """Poll, unless another waiter has just done so."""
        if self._final is not None:
            raise self._final
        now_s = asyncio.get_running_loop().time()
        if self.closed or now_s < self._due_s:
            return
        self._due_s = now_s + self._every_s * 0.9  # A timer may come a little early.
        try:
            self._move_to(self._poll())
        except LogBusy as error:
            self._failed_polls += 1
            if self._failed_polls > FAILED_POLLS_MAX:
                self._final = error
                raise
        except LogError as error:
            self._final = error
            raise

    def _move_to(self, seq: int) -> None:
        if seq < self._head_seq:
            raise LogReplaced(f"the log ended at seq {self._head_seq}, but now ends at seq {seq}: it is another log")
        self._head_seq, self._has_looked, self._failed_polls = seq, True, 0


class FileEnd:
    """The end of the log at a path, which may not exist yet. Once it does, another file in its place is detected."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._file: Identity | None = None

    def read_head_seq(self) -> int:
        """Return the newest seq, without waiting; 0 before there is a log.

        Raise LogBusy if a retry may succeed, LogReplaced, LogForeign, LogDamaged or LogFromNewerVersion.
        """
        try:
            connection = self._connect()
            with translate_driver_errors(self._path):
                newest = connection.execute(_HEAD).fetchone()
        except LogMissing:
            return 0
        except (LogReplaced, LogForeign, LogDamaged, LogBusy):
            raise
        except LogError as error:  # A writer that is closing removes the -wal: the next poll finds none.
            raise LogBusy(str(error)) from error
        return int(newest[0]) if newest is not None else 0

    def close(self) -> None:
        """Close the file. Closing twice is harmless."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> sqlite3.Connection:
        file = self._identity()
        if self._connection is None:
            self._connection, self._file = connect_to_read(self._path, busy_s=0.0), file
        elif file is not None and file != self._file:
            raise LogReplaced(f"another log took the place of the one at {self._path}")
        return self._connection

    def _identity(self) -> Identity | None:
        """Return the identity of the file at the path; None if it is missing or its disk fails."""
        try:
            return file_identity(self._path)
        except OSError:
            return None


def make_tail(path: Path, every_s: float = POLL_EVERY_S) -> Tail:
    """Return the tail of the log at a path."""
    end = FileEnd(path)
    return Tail(end.read_head_seq, end.close, every_s)
