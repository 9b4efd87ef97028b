"""Watch a running engine's log: the file is still in its place, and its content is intact.

Both watchers end with the bus. A failure ends the engine: nothing may be appended after a damaged row, or to a file
that is no longer reachable.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec

from papertape.engine.child_processes import kill, own_command, own_environment
from papertape.events.errors import LogDamaged
from papertape.events.proving import DamageReport

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from papertape.events.bus import Bus
    from papertape.events.sqlite_log import SqliteEventLog

CHECK_EVERY_S: Final = 5.0
CHECK_S_MAX: Final = 10.0
"""The time limit of one check: a network disk that does not respond is no evidence about the file."""
FIRST_PROOF_AFTER_S: Final = 3.0
"""Keeps the proof out of the busy start-up phase."""
PROVE_EVERY_S: Final = 600.0
"""The interval at which newly appended rows are read back."""
PROVE_AGAIN_AFTER_S: Final = 60.0
"""The pause after a failed proof."""
TEXT_CHARS_MAX: Final = 300


class Integrity:
    """The two watchers of one log. `failure` is why the last proof failed, empty if it succeeded."""

    def __init__(self, log: SqliteEventLog, bus: Bus, warn: Callable[[str], None], life: str) -> None:
        """`life` identifies this run of the engine; the whole log is read once per run."""
        self._log, self._bus, self._warn = log, bus, warn
        self._command = own_command("papertape.events.proving", str(log.path), life)
        self.failure = ""

    def watchers(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return both watchers by name."""
        return {"place of the log": self.watch_place, "proof of the log": self.watch_content}

    async def watch_place(self, every_s: float = CHECK_EVERY_S) -> None:
        """Check periodically that the log is still the file at its path. Raise LogReplaced if it is not."""
        while not await self._closed_within(every_s):
            try:
                async with asyncio.timeout(CHECK_S_MAX):
                    await asyncio.to_thread(self._log.check_place)
            except OSError:  # Includes TimeoutError.
                continue

    async def watch_content(self, first_after_s: float = FIRST_PROOF_AFTER_S, every_s: float = PROVE_EVERY_S) -> None:
        """Have the log read back periodically. Raise LogDamaged if a row is damaged."""
        pause_s = first_after_s
        while not await self._closed_within(pause_s):
            failure = await self._prove()
            pause_s = PROVE_AGAIN_AFTER_S if failure else every_s
            if failure and failure != self.failure:
                self._warn(f"the log could not be read back: {failure}; retrying")
            self.failure = failure

    async def _prove(self) -> str:
        """Run one proof in its own process; return why it failed, or an empty text. Raise LogDamaged for a bad row."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                env=own_environment(os.environ),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            return f"no process could be started: {error.strerror}"
        try:
            output, errors = await self._communicate(process)
        finally:
            if process.returncode is None:
                kill(process)
                await process.wait()
        if process.returncode == LogDamaged.exit_code:
            damage = msgspec.json.decode(output, type=DamageReport)
            raise LogDamaged(damage.seq, f"{damage.reason} (found while running, by reading the log back)")
        if process.returncode == 0 or self._bus.closed:
            return ""
        return errors.decode(errors="replace").strip()[-TEXT_CHARS_MAX:] or f"it ended with {process.returncode}"

    async def _communicate(self, process: asyncio.subprocess.Process) -> tuple[bytes, bytes]:
        """Wait until the process ends, or kill it when the bus closes; return its output and errors."""
        ending = asyncio.ensure_future(process.communicate())
        closing = asyncio.ensure_future(self._bus.wait_closed())
        try:
            await asyncio.wait({ending, closing}, return_when=asyncio.FIRST_COMPLETED)
            if not ending.done():
                kill(process)
            return await ending
        finally:
            for task in (ending, closing):
                task.cancel()
            await asyncio.gather(ending, closing, return_exceptions=True)

    async def _closed_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._bus.wait_closed()
        return self._bus.closed
