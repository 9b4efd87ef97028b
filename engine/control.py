"""A door for commands beside the log: a Unix socket that only its owner can open.

One line in, one line out, both JSON: a command (`events.commands`), and what became of it.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from events.commands import Accepted, Command
from events.errors import CommandRefused, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from events.commands import Commands

PATH_BYTES_MAX: Final = 100
"""The system takes a little more; longer paths go to the folder for temporary files."""
LINE_BYTES_MAX: Final = 4_096
VISITORS_MAX: Final = 8
READ_S_MAX: Final = 5.0
ANSWER_S_MAX: Final = 30.0


class Answer(Struct, frozen=True):
    """What became of a command: where its events stand, or why it was refused."""

    accepted: Accepted | None = None
    refused: str = ""


class NoEngine(UsageError):
    """No running engine listens beside this log."""


def socket_path(db: Path) -> Path:
    """Where the door of a log is."""
    beside = db.absolute().with_name(db.name + ".sock")
    if len(os.fsencode(beside)) <= PATH_BYTES_MAX:
        return beside
    name = hashlib.blake2b(os.fsencode(db.absolute()), digest_size=12).hexdigest()
    return Path(tempfile.gettempdir()) / f"papertape-{os.getuid()}-{name}.sock"


class Door:
    """Serves the door while an engine runs. Whoever holds the log's lock may replace a door that was left behind."""

    def __init__(self, db: Path, desk: Commands, warn: Callable[[str], None]) -> None:
        self.path = socket_path(db)
        self._desk = desk
        self._warn = warn
        self._visitors = 0
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Begin to listen. A door that cannot be opened is a warning: the engine does without."""
        with suppress(OSError):
            self.path.unlink()
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._visit, self.path, limit=LINE_BYTES_MAX)
        except OSError as error:
            self._warn(f"no commands from the terminal: {self.path} cannot be opened: {error.strerror}")
        finally:
            os.umask(before)

    async def close(self) -> None:
        """Listen no longer."""
        if self._server is not None:
            self._server.close()
            with suppress(OSError):
                self.path.unlink()

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One command, one answer."""
        self._visitors += 1
        try:
            if self._visitors <= VISITORS_MAX:
                writer.write(msgspec.json.encode(await self._answer(reader)) + b"\n")
                await writer.drain()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._visitors -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> Answer:
        try:
            async with asyncio.timeout(READ_S_MAX):
                line = await reader.readline()
            command = msgspec.json.decode(line, type=Command)
        except (TimeoutError, ValueError, msgspec.DecodeError) as error:
            return Answer(refused=f"no command: {error}")
        try:
            return Answer(accepted=await self._desk.submit(command))
        except CommandRefused as refused:
            return Answer(refused=str(refused))


async def send(db: Path, command: Command) -> Accepted:
    """Give a command to the engine that runs on this log. Raises NoEngine, CommandRefused."""
    try:
        reader, writer = await asyncio.open_unix_connection(socket_path(db), limit=LINE_BYTES_MAX)
    except OSError as error:
        raise NoEngine(f"no engine takes commands for {db}: {error.strerror}") from error
    try:
        writer.write(msgspec.json.encode(command) + b"\n")
        async with asyncio.timeout(ANSWER_S_MAX):
            await writer.drain()
            line = await reader.readline()
        answer = msgspec.json.decode(line, type=Answer)
    except (OSError, TimeoutError, ValueError, msgspec.DecodeError):
        raise CommandRefused("the engine gave no answer; whether it took the command stands in the log") from None
    finally:
        writer.close()
    if answer.accepted is None:
        raise CommandRefused(answer.refused)
    return answer.accepted
