"""The status that a running engine reports on its control socket."""

from __future__ import annotations

import asyncio
import os
from importlib.metadata import version
from typing import TYPE_CHECKING

import msgspec

from papertape.events.copying import log_bytes
from papertape.events.proof import read_proof
from papertape.projections.site.ports import EngineStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from papertape.cli.service.engine_services import EngineServices
    from papertape.engine.process_health import ProcessHealthProbe
    from papertape.engine.startup import Engine


def make_status_report(
    running: Engine, health: ProcessHealthProbe, services: EngineServices | None
) -> Callable[[], Awaitable[dict[str, object]]]:
    """Return the function that reports the status. Without services the watchdog and the alerts are missing from it."""

    async def report() -> dict[str, object]:
        status: dict[str, object] = msgspec.to_builtins(await status_of(running, health, services))
        return status

    return report


async def status_of(running: Engine, health: ProcessHealthProbe, services: EngineServices | None) -> EngineStatus:
    """Return the current status: figures of the start, measurements, and the state of the services."""
    measured = await health.measure()
    recovered, db = running.recovered, running.log.path
    backup = None if services is None else await asyncio.to_thread(services.newest_backup)
    read_back = await asyncio.to_thread(read_proof, db)
    return EngineStatus(
        version=version("papertape"),
        pid=os.getpid(),
        at_ms=running.clock.now_ms(),
        started_at_ms=running.started_at_ms,
        head_seq=running.bus.head_seq,
        ending=running.ending,
        recovered_seq=recovered.seq,
        snapshot_seq=recovered.snapshot_seq,
        replayed_events=recovered.replayed_events,
        recovery_ms=recovered.took_ms,
        digest_at_start=running.digest_at_start,
        newest_snapshot_seq=running.loop.newest_snapshot_seq,
        commit_p99_ms=measured.commit_latency_ms,
        loop_lag_ms=measured.loop_lag_ms,
        disk_free_bytes=measured.disk_free_bytes,
        log_bytes=await asyncio.to_thread(log_bytes, db),
        tasks=len(asyncio.all_tasks()),
        proved_seq=None if backup is None else backup.seq,
        proved_at_ms=None if backup is None else backup.at_ms,
        read_back_seq=None if read_back is None else read_back.proven.seq,
        read_back_at_ms=None if read_back is None else read_back.proven_at_ms or None,
        read_back_failure=running.integrity.failure,
        oldest_alert_age_s=None if services is None else services.delivery.oldest_unsent_ms / 1_000.0,
        alerts_parked="" if services is None else services.delivery.parked,
        alerts_moved_to=0 if services is None else services.delivery.moved_to,
        backup_age_s=None if services is None else services.backup_age_s,
        backup_failures={} if services is None else await asyncio.to_thread(services.backup_failures),
        watchdog=None if services is None else services.watchdog_view,
        market_ended=running.market_ended,
    )
