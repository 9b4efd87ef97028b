"""The disk of the simulated machine: real SQLite files in memory, and faults where the process meets them.

The log is written by a connection of aiosqlite whose thread is the simulated loop. A commit can be slow, refused
because the disk is full, or fail with an outcome that nobody knows: the row may be there or not. A killed process
writes nothing more, wherever it was.
"""

from __future__ import annotations

import asyncio
import errno
import sqlite3
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import aiosqlite

from papertape.events.sqlite_file import INSERT
from tests.simulation.loop import process

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

FREE_BYTES: Final = 50_000_000_000
WRITES: Final = ("INSERT", "DELETE", "BEGIN")
"""How the statements begin that write rows, delete sealed ones, and enter a segment."""
FSYNC_S: Final = (0.000_5, 0.001, 0.004)


class SimulatedDisk:
    """The state of the disk.

    The next `bad_commits` commits fail with an unknown outcome, and so do the next `bad_writes` writes of files beside
    the log.
    """

    def __init__(self, chance: Random) -> None:
        self.is_full = False
        self.slow_s = 0.0
        self.bad_commits = self.bad_writes = 0
        self.dead: set[int] = set()
        """Processes that were killed: nothing of theirs reaches the disk."""
        self.on_commit: Callable[[int], None] = lambda _seq: None
        """Called with the first seq of every row that has become durable."""
        self.counts: Counter[str] = Counter()
        self._chance = chance

    @property
    def free_bytes(self) -> int:
        """The free space."""
        return 0 if self.is_full else FREE_BYTES

    def delay_s(self) -> float:
        """Return how long one operation takes."""
        return self._chance.choice(FSYNC_S) + self.slow_s

    def check_write(self, owner: int) -> None:
        """Raise OSError if a process is dead, or its write beside the log fails."""
        if owner in self.dead:
            raise OSError(errno.EIO, "the process was killed")
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        if self.bad_writes:
            self.bad_writes -= 1
            raise OSError(errno.EIO, "Input/output error")

    def write_durably(self, real: Callable[..., None], path: Path, content: bytes, *more: Any) -> None:
        """Write a whole file as `events.durable` does, unless the disk is full."""
        self.check_write(process.get())
        real(path, content, *more)

    def execute(self, owner: int, function: Callable[[], Any]) -> Any:
        """Run one call of a log's connection."""
        if owner in self.dead:
            return None  # What it still does is seen by nobody.
        arguments = getattr(function, "args", ())
        if not arguments or not str(arguments[0]).lstrip().startswith(WRITES):
            return function()
        if self.is_full:
            self.counts["refused commits"] += 1
            raise _sqlite_error("database or disk is full", sqlite3.SQLITE_FULL)
        if self.bad_commits:
            self.bad_commits -= 1
            self.counts["commits with an unknown outcome"] += 1
            if self._chance.random() < 0.5:
                self._commit(function, arguments)
            raise _sqlite_error("disk I/O error", sqlite3.SQLITE_IOERR)
        return self._commit(function, arguments)

    def _commit(self, function: Callable[[], Any], arguments: tuple[Any, ...]) -> Any:
        done = function()
        if arguments[0] == INSERT:
            self.on_commit(arguments[1][0])
        return done


def _sqlite_error(text: str, code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


class _NoThread:
    def start(self) -> None:
        """Do nothing: the loop does the work."""


class _LoopQueue:
    """Takes the calls of a connection and runs them on the loop, one after the other."""

    def __init__(self, disk: SimulatedDisk) -> None:
        self._disk, self._owner = disk, process.get()
        self._before: asyncio.Task[Any] | None = None

    def put_nowait(self, item: tuple[asyncio.Future[Any] | None, Callable[[], Any]]) -> None:
        future, function = item
        call = asyncio.get_running_loop().create_task(self._run(self._before, function))
        call.add_done_callback(partial(_settle, future))
        self._before = call

    async def _run(self, before: asyncio.Task[Any] | None, function: Callable[[], Any]) -> Any:
        if before is not None and not before.done():
            await asyncio.wait([before])
        await asyncio.sleep(self._disk.delay_s())
        return self._disk.execute(self._owner, function)


def _settle(future: asyncio.Future[Any] | None, call: asyncio.Task[Any]) -> None:
    """Pass the outcome of a call to whoever waits for it."""
    error = None if call.cancelled() else call.exception()
    if future is None or future.done():
        return
    if call.cancelled():
        future.cancel()
    elif error is not None:
        future.set_exception(error)
    else:
        future.set_result(call.result())


class LeftConnection(sqlite3.Connection):
    """A connection that a killed process leaves open."""

    def __del__(self) -> None:
        """Close it without a warning."""
        self.close()


def left(kind: type[sqlite3.Connection]) -> type[sqlite3.Connection]:
    """Return a kind of connection that a killed process may leave open."""
    return type(kind.__name__, (LeftConnection, kind), {})


class SimulatedConnection(aiosqlite.Connection):
    """A connection of aiosqlite whose calls run on the simulated loop instead of in a thread."""

    def __init__(self, disk: SimulatedDisk, path: Path, **options: Any) -> None:
        factory = left(options.pop("factory", sqlite3.Connection))
        super().__init__(partial(sqlite3.connect, path, factory=factory, **options), iter_chunk_size=64)
        self._thread, self._tx = _NoThread(), _LoopQueue(disk)  # type: ignore[assignment]

    def __del__(self) -> None:
        """Do nothing: that of a killed process was never closed."""


class CursorDriver:
    """What `events.cursors` gets instead of the module sqlite3: connections that the disk can refuse."""

    Error = sqlite3.Error

    def __init__(self, disk: SimulatedDisk) -> None:
        owner = process.get

        class Connection(LeftConnection):
            def __init__(self, *given: Any, **options: Any) -> None:
                super().__init__(*given, **options)
                self._owner = owner()

            def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
                if sql.startswith("INSERT"):
                    try:
                        disk.check_write(self._owner)
                    except OSError as error:
                        raise _sqlite_error(str(error.strerror), sqlite3.SQLITE_FULL) from error
                return super().execute(sql, *parameters)

        self._factory = Connection

    def connect(self, path: Path | str, **options: Any) -> sqlite3.Connection:
        """Open a file of cursors."""
        return sqlite3.connect(path, factory=self._factory, **options)
