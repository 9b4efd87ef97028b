"""Where the simulation takes the place of the world: a handful of names that the program looks up when it needs them.

Everything behind them is the program itself. Each is put back at the end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import aiosqlite
import httpx

from papertape.cli.keeper import process_supervisor
from papertape.cli.service import engine_services, log_handover, unlogged_messages
from papertape.engine import sealing
from papertape.engine.feeds import rate_limit as exchange_rate_limit
from papertape.engine.feeds.bitget import connection
from papertape.engine.feeds.live import exchange_clock, reconnect
from papertape.engine.process_health import ProcessHealth
from papertape.events import cursors, failpoints, snapshots
from papertape.events.durable import write_durably
from papertape.events.errors import LogError
from papertape.projections.telegram import confirmation, poll
from papertape.projections.telegram import rate_limit as chat_rate_limit
from tests.simulation.checks import SEALED_AFTER_MS
from tests.simulation.disk import CursorDriver, SimulatedConnection
from tests.simulation.network import SimulatedHttp, connector
from tests.simulation.sites import EXCHANGE

if TYPE_CHECKING:
    from tests.simulation.machine import Machine


Seam = tuple[Any, str, Any]
"""The owner of a name, the name, and what stands in."""


class NoLag:
    """What stands in for the thread that measures the lag of the loop: a simulated loop has none."""

    def __init__(self, *_: Any) -> None:
        """Measure nothing."""

    def start(self) -> None:
        """Start nothing."""

    def stop(self) -> None:
        """Stop nothing."""


def _seams(machine: Machine) -> list[Seam]:
    """Return all stand-ins of the simulated world. No text names its folder, which is another one in every run."""
    disk, chance = machine.disk, machine.chance

    class Health:
        """What a process measures of its machine."""

        def __init__(self, *_: Any) -> None:
            """Measure the simulated one."""

        async def measure(self) -> ProcessHealth:
            """Return the measurements."""
            return ProcessHealth(disk.delay_s() * 1_000.0, disk.free_bytes, 0.0)

    def seeded(*_: Any) -> Random:
        return Random(chance.getrandbits(64))

    connect = connector(machine.network, EXCHANGE, machine.exchange)
    return [
        (aiosqlite, "connect", lambda path, **options: SimulatedConnection(disk, path, **options)),
        (sealing, "run_beside", machine.write_segment),
        (sealing, "whole_days_before", lambda now_ms: now_ms - SEALED_AFTER_MS),
        (cursors, "sqlite3", CursorDriver(disk)),
        (cursors, "LogError", lambda text: LogError(text.replace(f"{machine.db.parent.resolve()}/", ""))),
        (snapshots, "write_durably", partial(disk.write_durably, write_durably)),
        (unlogged_messages, "write_durably", partial(disk.write_durably, write_durably)),
        (httpx, "AsyncClient", partial(SimulatedHttp, machine.network)),
        (connection, "connect", connect),
        *((module, "Random", seeded) for module in (reconnect, exchange_clock, poll)),
        *((module, "Random", seeded) for module in (exchange_rate_limit, chat_rate_limit)),
        (confirmation.Confirmations.__init__, "__defaults__", (chance.randbytes,)),
        (poll, "POLL_S", 50),
        (engine_services, "LoopLagMonitor", NoLag),
        (engine_services, "ProcessHealthProbe", Health),
        (engine_services, "warn", machine.warn),
        (log_handover, "warn", machine.warn),
        (failpoints, "_armed", machine.armed_failpoint),
        (failpoints, "os", SimpleNamespace(kill=machine.kill_running, getpid=os.getpid, environ=os.environ)),
        (process_supervisor, "time", SimpleNamespace(monotonic=machine.loop.time)),
        (process_supervisor, "_spawn", machine.spawn),
        (process_supervisor, "_signal_group", machine.signal),
        (process_supervisor, "_reap_child", machine.reap),
    ]


@contextmanager
def installed(machine: Machine, more: Callable[[], list[Seam]] = list) -> Iterator[None]:
    """Let the program run on the simulated machine inside the block; `more` puts further names in place."""
    seams = [*_seams(machine), *more()]
    before = [getattr(owner, name) for owner, name, _ in seams]
    for owner, name, stand_in in seams:
        setattr(owner, name, stand_in)
    try:
        yield
    finally:
        for (owner, name, _), original in reversed(list(zip(seams, before, strict=True))):
            setattr(owner, name, original)
