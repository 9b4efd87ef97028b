"""Access of the page and other processes to the running engine, over the control socket beside its log."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import msgspec

from papertape.engine.control_socket import EngineNotRunning, request_crash, request_status, send_command, send_signals
from papertape.engine.startup_progress import read_progress
from papertape.projections.site.ports import EngineStatus

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from papertape.events.commands import Accepted, Command
    from papertape.events.signals import SignalBatch, SignalsRecorded

CACHED_S: Final = 1.0


class EngineClient:
    """`projections.site.ports.EnginePort` over the control socket. It caches the status for a second."""

    def __init__(self, db: Path, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._db, self._clock_s = db, clock_s
        self._lock = asyncio.Lock()
        self._cached: EngineStatus | None = None
        self._cached_until_s = -1.0

    async def status(self) -> EngineStatus | None:
        """See `projections.site.ports.EnginePort.status`."""
        async with self._lock:
            if self._clock_s() >= self._cached_until_s:
                self._cached = await self._request_status()
                self._cached_until_s = self._clock_s() + CACHED_S
            return self._cached

    async def submit(self, command: Command) -> Accepted:
        """See `projections.site.ports.EnginePort.submit`."""
        return await send_command(self._db, command)

    async def receive(self, batch: SignalBatch) -> SignalsRecorded:
        """See `projections.site.ports.EnginePort.receive`."""
        return await send_signals(self._db, batch)

    async def crash(self) -> None:
        """See `projections.site.ports.EnginePort.crash`. Raise EngineNotRunning if no engine runs."""
        try:
            await request_crash(self._db)
        finally:
            self._cached_until_s = -1.0

    async def _request_status(self) -> EngineStatus | None:
        try:
            status = await request_status(self._db)
            return self._starting() if status is None else msgspec.convert(status, EngineStatus)
        except EngineNotRunning:
            return self._starting()
        except msgspec.ValidationError:  # An engine of another version may have another status.
            return None

    def _starting(self) -> EngineStatus | None:
        """Return the status of an engine that is replaying its log, before its control socket is open."""
        progress = read_progress(self._db)
        if progress is None:
            return None
        return EngineStatus(
            version="",
            pid=progress.pid,
            at_ms=0,
            started_at_ms=0,
            head_seq=progress.head_seq,
            ending=False,
            recovered_seq=progress.seq,
            snapshot_seq=0,
            replayed_events=progress.seq,
            recovery_ms=0.0,
            digest_at_start="",
            replaying=True,
        )
