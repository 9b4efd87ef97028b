"""Watch a running engine's log: the file is still in its place, and its content is intact.

Both watchers end with the bus. A failure ends the engine: nothing may be appended after a damaged row, or to a file
that is no longer reachable.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from papertape.engine.background_process import closed_within, run_beside

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


class Integrity:
    """The two watchers of one log. `failure` is why the last proof failed, empty if it succeeded."""

    def __init__(self, log: SqliteEventLog, bus: Bus, warn: Callable[[str], None], life: str) -> None:
        """`life` identifies this run of the engine; the whole log is read once per run."""
        self._log, self._bus, self._warn = log, bus, warn
        self._life = life
        self.failure = ""

    def watchers(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return both watchers by name."""
        return {"place of the log": self.watch_place, "proof of the log": self.watch_content}

    async def watch_place(self, every_s: float = CHECK_EVERY_S) -> None:
        """Check periodically that the log is still the file at its path. Raise LogReplaced if it is not."""
        while not await closed_within(self._bus, every_s):
            try:
                async with asyncio.timeout(CHECK_S_MAX):
                    await asyncio.to_thread(self._log.check_place)
            except OSError:  # Includes TimeoutError.
                continue

    async def watch_content(self, first_after_s: float = FIRST_PROOF_AFTER_S, every_s: float = PROVE_EVERY_S) -> None:
        """Have the log read back periodically. Raise LogDamaged if a row is damaged."""
        pause_s = first_after_s
        while not await closed_within(self._bus, pause_s):
            failure = await self._prove()
            pause_s = PROVE_AGAIN_AFTER_S if failure else every_s
            if failure and failure != self.failure:
                self._warn(f"the log could not be read back: {failure}; retrying")
            self.failure = failure

    async def _prove(self) -> str:
        """Run one proof in its own process; return why it failed, or an empty text. Raise LogDamaged for a bad row."""
        return (await run_beside(self._bus, "papertape.events.proving", str(self._log.path), self._life)).failure
