"""The control socket beside the log: a Unix socket that only its owner can open, for commands and requests.

One line of JSON in, one line of JSON out: a command (`events.commands`), signals (`events.signals`) or a request, and
the reply. No reply reads state that the loop is changing: commands and signals go through the command queue, and a
status is measured beside the loop.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
from msgspec import Struct

from papertape.events.commands import TEXT_CHARS_MAX, Accepted, Command, Commands
from papertape.events.errors import CommandRefused, CommandUnanswered, UsageError
from papertape.events.lenient_json import decode_json
from papertape.events.signals import SignalBatch, SignalIntake, SignalsRecorded
from papertape.events.text import one_line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PATH_BYTES_MAX: Final = 100
"""A little below the system's limit; for longer paths the socket is in the folder for temporary files."""
LINE_BYTES_MAX: Final = 65_536
"""Enough for `SIGNALS_MAX` signals with the longest texts in ASCII."""
CONNECTIONS_MAX: Final = 8
ANSWER_BYTES_MAX: Final = 1 << 20
READ_S_MAX: Final = 5.0
ANSWER_S_MAX: Final = 30.0
STATUS_S_MAX: Final = 2.0


class StatusRequest(Struct, frozen=True, tag="status"):
    """Asks the engine for its status."""


class CrashRequest(Struct, frozen=True, tag="crash"):
    """Asks the engine's process to end at once, as if it had been killed."""


class ControlReply(Struct, frozen=True, omit_defaults=True):
    """The reply to a request: the seqs of a command's events, recorded signals, a status, a crash, or a refusal."""

    accepted: Accepted | None = None
    recorded: SignalsRecorded | None = None
    status: dict[str, object] | None = None
    crashing: bool = False
    refused: str = ""


class Intake(Commands, SignalIntake, Protocol):
    """Accepts commands and signals."""


Request = Command | SignalBatch | StatusRequest | CrashRequest
NO_CRASH: Final = "only an engine on a simulated market crashes on request"


class EngineNotRunning(UsageError):
    """No running engine listens beside this log."""


def socket_path(db: Path) -> Path:
    """Return the path of a log's control socket."""
    real = db.resolve()
    near = real.with_name(real.name + ".sock")
    if len(os.fsencode(near)) <= PATH_BYTES_MAX:
        return near
    name = hashlib.blake2b(os.fsencode(real), digest_size=12).hexdigest()
    return Path(tempfile.gettempdir()) / f"papertape-{os.getuid()}-{name}.sock"


class ControlServer:
    """Serves the control socket while an engine runs. The holder of the log's lock replaces a leftover socket."""

    def __init__(
        self,
        db: Path,
        commands: Intake,
        warn: Callable[[str], None],
        status: Callable[[], Awaitable[dict[str, object]]] | None = None,
        *,
        may_crash: bool = False,
    ) -> None:
        """Prepare the server; `status` measures the engine, and `may_crash` is true on a simulated market only."""
        self.path = socket_path(db)
        self._commands, self._status, self._may_crash = commands, status, may_crash
        self._warn = warn
        self._connections = 0
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Start to listen. Warn if that fails: the engine runs without the socket."""
        with suppress(OSError):
            self.path.unlink()
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, self.path, limit=LINE_BYTES_MAX)
        except OSError as error:
            self._warn(f"no commands from the terminal: {self.path} cannot be opened: {error.strerror}")
        finally:
            os.umask(before)

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            with suppress(OSError):
                self.path.unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read one line and write one reply."""
        self._connections += 1
        try:
            if self._connections <= CONNECTIONS_MAX:
                reply = await self._reply(reader)
                writer.write(msgspec.json.encode(reply) + b"\n")
                await writer.drain()
                if reply.crashing:
                    await _kill_own_process(writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._connections -= 1
            writer.close()

    async def _reply(self, reader: asyncio.StreamReader) -> ControlReply:
        try:
            async with asyncio.timeout(READ_S_MAX):
                line = await reader.readline()
            request = decode_json(line, Request)
        except (TimeoutError, ValueError, msgspec.DecodeError) as error:
            return ControlReply(refused=f"not a command: {error}")
        match request:
            case StatusRequest():
                return await self._measure_status()
            case CrashRequest():
                return ControlReply(crashing=True) if self._may_crash else ControlReply(refused=NO_CRASH)
            case SignalBatch():
                return await self._record_signals(request)
            case _:
                return await self._submit_command(request)

    async def _measure_status(self) -> ControlReply:
        if self._status is None:
            return ControlReply(refused="this engine reports no status")
        try:
            async with asyncio.timeout(STATUS_S_MAX):
                return ControlReply(status=await self._status())
        except TimeoutError:
            return ControlReply(refused="the engine could not be measured in time")

    async def _record_signals(self, batch: SignalBatch) -> ControlReply:
        try:
            return ControlReply(recorded=await self._commands.receive(batch))
        except CommandRefused as refused:
            return ControlReply(refused=str(refused))

    async def _submit_command(self, command: Command) -> ControlReply:
        try:
            return ControlReply(accepted=await self._commands.submit(command))
        except CommandRefused as refused:
            return ControlReply(refused=str(refused))


async def _kill_own_process(writer: asyncio.StreamWriter) -> None:
    """End without cleaning up, as in a power cut, after the reply has reached the system's buffers."""
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    os.kill(os.getpid(), signal.SIGKILL)


async def send_command(db: Path, command: Command) -> Accepted:
    """Send a command to the engine on this log. Raise EngineNotRunning, CommandRefused or CommandUnanswered."""
    reply = await _request(db, command, ANSWER_S_MAX)
    if reply is None:
        raise CommandUnanswered("the engine did not answer; the log shows whether it executed the command")
    if reply.accepted is None:
        raise CommandRefused(reply.refused)
    return reply.accepted


async def send_signals(db: Path, batch: SignalBatch) -> SignalsRecorded:
    """Send signals to the engine on this log. Raise EngineNotRunning, CommandRefused or CommandUnanswered."""
    reply = await _request(db, batch, ANSWER_S_MAX)
    if reply is None:
        raise CommandUnanswered("the engine did not answer; send the signals again: those that it recorded are ignored")
    if reply.recorded is None:
        raise CommandRefused(reply.refused)
    return reply.recorded


async def request_status(db: Path) -> dict[str, object] | None:
    """Return the status of the engine on this log, or None if it does not answer in time. Raise EngineNotRunning."""
    reply = await _request(db, StatusRequest(), STATUS_S_MAX)
    return reply.status if reply is not None else None


async def request_crash(db: Path) -> None:
    """Have the engine on this log end with SIGKILL. Raise EngineNotRunning, or CommandRefused if it does not."""
    reply = await _request(db, CrashRequest(), ANSWER_S_MAX)
    if reply is None or not reply.crashing:
        raise CommandRefused(reply.refused if reply is not None else "the engine did not answer")


async def _request(db: Path, request: Request, seconds_max: float) -> ControlReply | None:
    """Return the reply, or None if no valid one comes in time. Raise EngineNotRunning."""
    try:
        reader, writer = await asyncio.open_unix_connection(socket_path(db), limit=ANSWER_BYTES_MAX)
    except OSError as error:
        raise EngineNotRunning(f"no engine accepts commands for {db}: {error.strerror}") from error
    try:
        async with asyncio.timeout(seconds_max):
            writer.write(_encode_line(request))
            await writer.drain()
            line = await reader.readline()
        return msgspec.json.decode(line, type=ControlReply)
    except (OSError, TimeoutError, ValueError, msgspec.DecodeError):
        return None
    finally:
        writer.close()


def _encode_line(request: Request) -> bytes:
    """Return the line to send through the socket: encodable, and within the length limit."""
    fields = msgspec.to_builtins(request)
    texts = {name: one_line(value, TEXT_CHARS_MAX) for name, value in fields.items() if isinstance(value, str)}
    return msgspec.json.encode(fields | texts) + b"\n"
