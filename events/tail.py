"""The bus across processes: tells those who follow a log that it grew, where another process writes it.

Nobody tells it: while somebody waits it looks at the end of the log, a few times a second. A look is one short
read that fetches two numbers.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from papertape.events.errors import LogBusy, LogDamaged, LogError, LogForeign, LogMissing, LogReplaced, UsageError
from papertape.events.sqlite_file import connect_to_read, translate_driver_errors

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_EVERY_S: Final = 0.05
WAITERS_MAX: Final = 64
FAILED_LOOKS_MAX: Final = 200
"""So many in a row, ten seconds of them, and the error is told."""

_HEAD = "SELECT seq + count - 1 FROM commits ORDER BY seq DESC LIMIT 1"


class Tail:
    """Says how far a log is committed. It belongs to one event loop and to one log; close it at the end."""

    def __init__(
        self, look: Callable[[], int], let_go: Callable[[], None] = lambda: None, every_s: float = LOOK_EVERY_S
    ) -> None:
        """`look` gives the newest seq; what it needs is let go of by `let_go`.

        A LogBusy of `look` passes, if it does not last; any other LogError is final.
        """
        self._look, self._let_go, self._every_s = look, let_go, every_s
        self._head_seq = 0
        self._waiters = 0
        self._failed_looks = 0
        self._due_s = 0.0
        self._final: LogError | None = None
        self._closed = asyncio.Event()

    @property
    def head_seq(self) -> int:
        """The newest seq that was seen."""
        return self._head_seq

    @property
    def closed(self) -> bool:
        """Nobody looks any more."""
        return self._closed.is_set()

    async def wait_beyond(self, seq: int) -> int:
        """The newest seq, as soon as it is beyond `seq`; a closed tail answers at once with where it stopped.

        Raises LogReplaced where another log took the place of this one, LogError where it cannot be read, and
        UsageError when more than WAITERS_MAX wait.
        """
        if self._waiters >= WAITERS_MAX:
            raise UsageError(f"more than {WAITERS_MAX} wait for one log")
        self._waiters += 1
        try:
            self._look_when_due()
            while self._head_seq <= seq and not self.closed:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._every_s):
                        await self._closed.wait()
                self._look_when_due()
        finally:
            self._waiters -= 1
        return self._head_seq

    def close(self) -> None:
        """Wake everybody for the last time. Closing twice is harmless."""
        if not self.closed:
            self._closed.set()
            self._let_go()

    def _look_when_due(self) -> None:
        """Look, unless somebody else just did."""
        if self._final is not None:
            raise self._final
        now_s = asyncio.get_running_loop().time()
        if self.closed or now_s < self._due_s:
            return
        self._due_s = now_s + self._every_s * 0.9  # A timer may come a little early.
        try:
            self._see(self._look())
        except LogBusy as error:
            self._failed_looks += 1
            if self._failed_looks > FAILED_LOOKS_MAX:
                raise self._finally(error) from error
        except LogError as error:
            raise self._finally(error) from error

    def _see(self, seq: int) -> None:
        if seq < self._head_seq:
            raise LogReplaced(f"the log ended at seq {self._head_seq} and ends at {seq} now: it is another one")
        self._head_seq, self._failed_looks = seq, 0

    def _finally(self, error: LogError) -> LogError:
        """Whoever asks later gets the same answer."""
        self._final = error
        return error


class FileEnd:
    """The end of the log at a path, which may come later. A log that is there is one file: another one is noticed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None

    def read_head_seq(self) -> int:
        """The newest seq; 0 before there is a log. It waits for nobody.

        Raises LogReplaced, LogBusy where it is to be asked again, LogForeign, LogDamaged, LogFromNewerVersion.
        """
        try:
            connection = self._opened()
            with translate_driver_errors(self._path):
                newest = connection.execute(_HEAD).fetchone()
        except LogMissing:
            return 0
        except (LogReplaced, LogForeign, LogDamaged, LogBusy):
            raise
        except LogError as error:  # A writer that just leaves takes the -wal with it: the next look finds none.
            raise LogBusy(str(error)) from error
        return int(newest[0]) if newest is not None else 0

    def close(self) -> None:
        """Let go of the file. Closing twice is harmless."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _opened(self) -> sqlite3.Connection:
        file = self._identity()
        if self._connection is None:
            self._connection, self._file = connect_to_read(self._path, busy_s=0.0), file
        elif file is not None and file != self._file:
            raise LogReplaced(f"another log stands at {self._path} now")
        return self._connection

    def _identity(self) -> tuple[int, int] | None:
        """Which file stands at the path; None where there is none, also when the one that was read is gone."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino


def make_tail(path: Path, every_s: float = LOOK_EVERY_S) -> Tail:
    """The tail of the log at a path."""
    end = FileEnd(path)
    return Tail(end.read_head_seq, end.close, every_s)
