"""The running engine as the web and other processes see it: through the door beside its log."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import msgspec

from papertape.engine.control_socket import EngineNotRunning, request_crash, request_status, send_command
from papertape.engine.startup_progress import read_progress
from papertape.projections.site.ports import EngineStatus

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from papertape.events.commands import Accepted, Command

KEPT_S: Final = 1.0


class EngineClient:
    """`projections.site.ports.EnginePort` over the control socket. Ask for a status at most once a second."""

    def __init__(self, db: Path, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._db, self._clock_s = db, clock_s
        self._asking = asyncio.Lock()
        self._known: EngineStatus | None = None
        self._known_until_s = -1.0

    async def status(self) -> EngineStatus | None:
        """See `projections.site.ports.EnginePort.status`."""
        async with self._asking:
            if self._clock_s() >= self._known_until_s:
                self._known = await self._request_status()
                self._known_until_s = self._clock_s() + KEPT_S
            return self._known

    async def submit(self, command: Command) -> Accepted:
        """See `projections.site.ports.EnginePort.submit`."""
        return await send_command(self._db, command)

    async def crash(self) -> None:
        """See `projections.site.ports.EnginePort.crash`. Raises NoEngine where none runs."""
        try:
            await request_crash(self._db)
        finally:
            self._known_until_s = -1.0

    async def _request_status(self) -> EngineStatus | None:
        try:
            said = await request_status(self._db)
            return self._starting() if said is None else msgspec.convert(said, EngineStatus)
        except EngineNotRunning:
            return self._starting()
        except msgspec.ValidationError:  # An engine of another version may say other things.
            return None

    def _starting(self) -> EngineStatus | None:
        """What is known of an engine whose door is not open yet."""
        found = read_progress(self._db)
        if found is None:
            return None
        return EngineStatus(
            version="",
            pid=found.pid,
            at_ms=0,
            started_at_ms=0,
            head_seq=found.head_seq,
            ending=False,
            recovered_seq=found.seq,
            snapshot_seq=0,
            replayed_events=found.seq,
            recovery_ms=0.0,
            digest_at_start="",
            replaying=True,
        )
