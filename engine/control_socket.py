"""A door beside the log for commands and questions: a Unix socket that only its owner can open.

One line in, one line out, both JSON: a command (`events.commands`), a question or a request, and what became of it.
What is answered never comes out of a state that the loop is just changing: commands go through its desk, and a status
is what was measured beside it.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from papertape.events.commands import TEXT_CHARS_MAX, Accepted, Command
from papertape.events.errors import CommandRefused, CommandUnanswered, UsageError
from papertape.events.lenient_json import decode_json
from papertape.events.text import one_line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from papertape.events.commands import Commands

PATH_BYTES_MAX: Final = 100
"""The system takes a little more; longer paths go to the folder for temporary files."""
LINE_BYTES_MAX: Final = 4_096
VISITORS_MAX: Final = 8
ANSWER_BYTES_MAX: Final = 1 << 20
READ_S_MAX: Final = 5.0
ANSWER_S_MAX: Final = 30.0
STATUS_S_MAX: Final = 2.0


class StatusRequest(Struct, frozen=True, tag="status"):
    """What the engine says of itself."""


class CrashRequest(Struct, frozen=True, tag="crash"):
    """The engine's process is to end at once, as if somebody had killed it."""


class ControlReply(Struct, frozen=True, omit_defaults=True):
    """What became of what was asked: where a command's events stand, a status, a promise, or why it was refused."""

    accepted: Accepted | None = None
    status: dict[str, object] | None = None
    crashing: bool = False
    refused: str = ""


_REQUEST: Final = Command | StatusRequest | CrashRequest
NO_CRASH: Final = "only an engine on a simulated market crashes when it is asked to"


class EngineNotRunning(UsageError):
    """No running engine listens beside this log."""


def socket_path(db: Path) -> Path:
    """Where the door of a log is."""
    real = db.resolve()
    near = real.with_name(real.name + ".sock")
    if len(os.fsencode(near)) <= PATH_BYTES_MAX:
        return near
    name = hashlib.blake2b(os.fsencode(real), digest_size=12).hexdigest()
    return Path(tempfile.gettempdir()) / f"papertape-{os.getuid()}-{name}.sock"


class ControlServer:
    """Serves the door while an engine runs. Whoever holds the log's lock may replace a door that was left behind."""

    def __init__(
        self,
        db: Path,
        desk: Commands,
        warn: Callable[[str], None],
        status: Callable[[], Awaitable[dict[str, object]]] | None = None,
        *,
        may_crash: bool = False,
    ) -> None:
        """`status` says what the engine knows of itself; `may_crash` is for a market that is none."""
        self.path = socket_path(db)
        self._desk, self._status, self._may_crash = desk, status, may_crash
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
        """One line, one answer."""
        self._visitors += 1
        try:
            if self._visitors <= VISITORS_MAX:
                answer = await self._answer(reader)
                writer.write(msgspec.json.encode(answer) + b"\n")
                await writer.drain()
                if answer.crashing:
                    await _end_now(writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._visitors -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> ControlReply:
        try:
            async with asyncio.timeout(READ_S_MAX):
                line = await reader.readline()
            asked = decode_json(line, _REQUEST)
        except (TimeoutError, ValueError, msgspec.DecodeError) as error:
            return ControlReply(refused=f"no command: {error}")
        match asked:
            case StatusRequest():
                return await self._answer_status()
            case CrashRequest():
                return ControlReply(crashing=True) if self._may_crash else ControlReply(refused=NO_CRASH)
            case _:
                return await self._submit_command(asked)

    async def _answer_status(self) -> ControlReply:
        if self._status is None:
            return ControlReply(refused="this engine says nothing of itself")
        try:
            async with asyncio.timeout(STATUS_S_MAX):
                return ControlReply(status=await self._status())
        except TimeoutError:
            return ControlReply(refused="the engine cannot be measured in time")

    async def _submit_command(self, command: Command) -> ControlReply:
        try:
            return ControlReply(accepted=await self._desk.submit(command))
        except CommandRefused as refused:
            return ControlReply(refused=str(refused))


async def _end_now(writer: asyncio.StreamWriter) -> None:
    """No goodbye, as when the machine loses its power. The answer is in the system's hands before."""
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    os.kill(os.getpid(), signal.SIGKILL)


async def send_command(db: Path, command: Command) -> Accepted:
    """Give a command to the engine that runs on this log. Raises NoEngine, CommandRefused."""
    answer = await _request(db, command, ANSWER_S_MAX)
    if answer is None:
        raise CommandUnanswered("the engine gave no answer; whether it took the command stands in the log")
    if answer.accepted is None:
        raise CommandRefused(answer.refused)
    return answer.accepted


async def request_status(db: Path) -> dict[str, object] | None:
    """What the engine that runs on this log says of itself; None where it does not in time. Raises NoEngine."""
    answer = await _request(db, StatusRequest(), STATUS_S_MAX)
    return answer.status if answer is not None else None


async def request_crash(db: Path) -> None:
    """Have the engine that runs on this log end with SIGKILL. Raises NoEngine, CommandRefused where it does not."""
    answer = await _request(db, CrashRequest(), ANSWER_S_MAX)
    if answer is None or not answer.crashing:
        raise CommandRefused(answer.refused if answer is not None else "the engine gave no answer")


async def _request(db: Path, asked: Command | StatusRequest | CrashRequest, seconds_max: float) -> ControlReply | None:
    """The answer; None where none comes in time or it is none. Raises NoEngine."""
    try:
        reader, writer = await asyncio.open_unix_connection(socket_path(db), limit=ANSWER_BYTES_MAX)
    except OSError as error:
        raise EngineNotRunning(f"no engine takes commands for {db}: {error.strerror}") from error
    try:
        async with asyncio.timeout(seconds_max):
            writer.write(_line_of(asked))
            await writer.drain()
            line = await reader.readline()
        return msgspec.json.decode(line, type=ControlReply)
    except (OSError, TimeoutError, ValueError, msgspec.DecodeError):
        return None
    finally:
        writer.close()


def _line_of(asked: Command | StatusRequest | CrashRequest) -> bytes:
    """Return the line to send through the socket: encodable, and within the length limit."""
    fields = msgspec.to_builtins(asked)
    texts = {name: one_line(value, TEXT_CHARS_MAX) for name, value in fields.items() if isinstance(value, str)}
    return msgspec.json.encode(fields | texts) + b"\n"
