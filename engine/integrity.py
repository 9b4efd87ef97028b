"""Watch the file of a running engine's log: it stands where it was opened, and everything in it holds.

Both watchers end with the bus. What they find ends the engine: nothing more may be appended behind a damaged row, or to
a file that nobody will find again.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

import msgspec

from engine.programs import own_command, own_environment
from events.errors import LogDamaged
from events.proving import Found

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from events.bus import Bus
    from events.sqlite_log import SqliteEventLog

LOOK_EVERY_S: Final = 5.0
LOOK_S_MAX: Final = 10.0
"""A network's disk that does not answer says nothing about the file."""
FIRST_PROOF_AFTER_S: Final = 3.0
"""A start is busy enough without a proof."""
PROVE_EVERY_S: Final = 600.0
"""What was appended meanwhile is read back so soon."""
PROVE_AGAIN_AFTER_S: Final = 60.0
"""After a proof that could not be made."""
WORDS_CHARS_MAX: Final = 300
SEQ_NEVER: Final = 1 << 62


class Integrity:
    """The two watchers of one log. `failure` says why the last proof could not be made, empty where it could."""

    def __init__(self, log: SqliteEventLog, bus: Bus, warn: Callable[[str], None], life: str) -> None:
        """`life` names this run of the engine: for each one everything is read once."""
        self._log, self._bus, self._warn = log, bus, warn
        self._command = own_command("events.proving", str(log.path), life)
        self.failure = ""

    def watchers(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return both, by name."""
        return {"place of the log": self.watch_place, "proof of the log": self.watch_content}

    async def watch_place(self, every_s: float = LOOK_EVERY_S) -> None:
        """Look again and again whether the log is still the file at its path. Raises LogReplaced."""
        while not await self._closed_within(every_s):
            try:
                async with asyncio.timeout(LOOK_S_MAX):
                    await asyncio.to_thread(self._log.check_place)
            except OSError:  # A timeout is one too.
                continue

    async def watch_content(self, first_after_s: float = FIRST_PROOF_AFTER_S, every_s: float = PROVE_EVERY_S) -> None:
        """Have everything read back, again and again. Raises LogDamaged."""
        pause_s = first_after_s
        while not await self._closed_within(pause_s):
            failure = await self._prove()
            pause_s = PROVE_AGAIN_AFTER_S if failure else every_s
            if failure and failure != self.failure:
                self._warn(f"the log could not be read back: {failure}; retrying")
            self.failure = failure

    async def _prove(self) -> str:
        """Run one proof in a process of its own; why it failed, empty where all holds. Raises LogDamaged."""
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
            said, why = await self._ended(process)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode == LogDamaged.exit_code:
            found = msgspec.json.decode(said, type=Found)
            raise LogDamaged(found.seq, f"{found.reason} (found while running, by reading the log back)")
        words = why.decode(errors="replace").strip()[-WORDS_CHARS_MAX:]
        return (
            ""
            if process.returncode == 0 or self._bus.closed
            else words or f"the process ended with {process.returncode}"
        )

    async def _ended(self, process: asyncio.subprocess.Process) -> tuple[bytes, bytes]:
        """Wait for the end of the process, or of the bus: then it is stopped."""
        ending = asyncio.ensure_future(process.communicate())
        closing = asyncio.ensure_future(self._bus.wait_beyond(SEQ_NEVER))
        try:
            await asyncio.wait({ending, closing}, return_when=asyncio.FIRST_COMPLETED)
            if not ending.done():
                process.kill()
            return await ending
        finally:
            for task in (ending, closing):
                task.cancel()
            await asyncio.gather(ending, closing, return_exceptions=True)

    async def _closed_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._bus.wait_beyond(SEQ_NEVER)
        except TimeoutError:
            pass
        return self._bus.closed
