"""The recorded scenarios: all that papertape does to a disk. A new writer of files becomes a new entry."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from papertape.engine.backup import make_backup
from papertape.events.facts import EngineStopped
from papertape.events.failpoints import VARIABLE
from papertape.events.log import Entry
from papertape.events.sqlite_log import SqliteEventLog
from tests.power.checks import SIM, check_backups, check_engine, check_program, check_restore, check_sealed
from tests.power.recorder import Step
from tests.power.roles import BACKUPS, LOG, NOW_MS, live
from tests.support import STRATEGIES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.power.crash import CrashState

Role = tuple[str, ...]

KILLED_AT: Final = ("fdatasync", 14)
"""In the thread that writes the log: between a row in the -wal and its fsync."""
PACED: Final = ("--speed", "20000")
DIES_ONCE: Final = {VARIABLE: "after_commit:70"}
"""The supervised engine is killed once; its second life is shorter."""


class Scenario(Struct, frozen=True):
    """A story of processes: what is on the disk before, the roles played, and what must hold after a power cut.

    `killed_at` is the call at which the first process is killed, `weight` the share of all states.
    """

    name: str
    roles: tuple[Role, ...]
    check: Callable[[CrashState], None]
    prepare: Callable[[Path], None] = lambda _: None
    killed_at: tuple[str, int] | None = None
    weight: int = 1
    variables: dict[str, str] = {}

    def steps(self, folder: Path, variables: dict[str, str]) -> list[Step]:
        """Return the processes that play the roles on a folder."""
        steps = []
        for number, (role, *arguments) in enumerate(self.roles):
            database = ("--db", str(folder / LOG)) if role == "papertape" else ()
            command = ("-m", "tests.power.roles", role, str(folder), *arguments, *database)
            steps.append(Step(command, self.killed_at if number == 0 else None, {**self.variables, **variables}))
        return steps


def write_log_and_backup(folder: Path) -> None:
    """Write a log that went on after its only backup, as an engine that was killed leaves it: with a -wal."""
    elsewhere = folder.with_name(folder.name + "-elsewhere")
    elsewhere.mkdir()
    asyncio.run(live(elsewhere, 0, 60))
    make_backup(elsewhere / LOG, elsewhere / BACKUPS, 1, STRATEGIES, None, NOW_MS)
    asyncio.run(live(elsewhere, 60, 200))

    async def append_and_copy() -> None:
        log = await SqliteEventLog.open(elsewhere / LOG, clock_ms=lambda: NOW_MS)
        for _ in range(5):
            await log.append(log.head.seq, [Entry(EngineStopped(NOW_MS, "a test"))])
        shutil.copytree(elsewhere, folder, dirs_exist_ok=True)
        await log.close()

    asyncio.run(append_and_copy())


def write_log_without_chat(folder: Path) -> None:
    """Write such a log of an engine that has no chat, and so no cursors."""
    write_log_and_backup(folder)
    for cursors in folder.glob(f"{LOG}.cursors*"):
        cursors.unlink()


SCENARIOS: Final = {
    scenario.name: scenario
    for scenario in (
        Scenario("engine", (("live", "0", "300"), ("live", "300", "420")), check_engine, weight=3),
        Scenario("killed", (("live", "0", "90"), ("live", "90", "120")), check_engine, killed_at=KILLED_AT, weight=2),
        Scenario("backup", (("backup",),), check_backups, weight=2),
        Scenario("seal", (("seal",),), check_sealed, weight=2),
        Scenario("restore", (("restore",),), check_restore, write_log_and_backup),
        Scenario("restore-without-chat", (("restore",),), check_restore, write_log_without_chat),
        Scenario("up", (("papertape", "up", "--port", "0", *PACED, *SIM),), check_program, variables=DIES_ONCE),
    )
}
