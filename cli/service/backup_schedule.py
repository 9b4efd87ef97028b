"""Backups as the engine makes them: a process of its own, now and then, beside the running engine."""

from __future__ import annotations

import asyncio
import os
import shutil
from typing import TYPE_CHECKING, Final

from papertape.cli.keeper.restart_policy import describe_exit
from papertape.engine.backup import newest_backup, remove_leftovers
from papertape.engine.programs import own_command, own_environment
from papertape.projections.watchdog.watchdog import closed_within

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from papertape.engine.ports.clock import Clock
    from papertape.projections.watchdog.watchdog import HeadAnnouncer

LOOK_S: Final = 300.0
FIRST_AFTER_S: Final = 600.0
"""A start is busy enough without a backup."""
AGAIN_AFTER_S: Final = 3_600.0
"""After one that failed."""
BACKUP_S_MAX: Final = 6 * 3_600.0
WORDS_CHARS_MAX: Final = 300
HOUR_S: Final = 3_600.0
HOUR_MS: Final = 3_600_000.0


class BackupSchedule:
    """Makes a backup whenever the newest is `every_hours` old. One that fails is warned of and tried again later."""

    def __init__(
        self,
        db: Path,
        folder: Path,
        every_hours: float,
        command: Sequence[str],
        bus: HeadAnnouncer,
        clock: Clock,
        warn: Callable[[str], None],
    ) -> None:
        """`command` makes one backup of `db` in `folder` and ends with 0."""
        self._db, self._folder, self._every_ms = db, folder, every_hours * HOUR_MS
        self._command, self._bus, self._clock, self._warn = command, bus, clock, warn
        self._lived_s = 0.0  # Counted by the pauses: the machine's clock may be set while the engine runs.
        self._not_before_s = FIRST_AFTER_S

    def age_s(self) -> float | None:
        """How old the newest backup is, the engine's life where there is none; None in the first hour of that life."""
        if self._lived_s < HOUR_S:
            return None
        since_ms = self._since_newest_ms()
        return self._lived_s if since_ms is None else since_ms / 1_000.0

    def _since_newest_ms(self) -> int | None:
        """Return the age of the newest backup with a plausible date, None if there is none."""
        now_ms = self._clock.now_ms()
        found = newest_backup(self._folder, self._db.name, now_ms)
        return None if found is None else max(0, now_ms - found.at_ms)

    async def run(self) -> None:
        """Until the bus is closed."""
        await asyncio.to_thread(remove_leftovers, self._folder)
        while True:
            is_over = await closed_within(self._bus, self._clock, LOOK_S)
            self._lived_s += LOOK_S
            if is_over:
                return
            since_ms = self._since_newest_ms()
            if self._lived_s >= self._not_before_s and (since_ms is None or since_ms >= self._every_ms):
                await self._try()

    async def _try(self) -> None:
        """Make a backup; after a failure, warn, tidy up and wait before the next try."""
        failure = await self._make()
        if failure:
            self._warn(f"no backup: {failure}; it is tried again in {AGAIN_AFTER_S / 60.0:g} minutes")
            self._not_before_s = self._lived_s + AGAIN_AFTER_S
            await asyncio.to_thread(remove_leftovers, self._folder)

    async def _make(self) -> str:
        """Make one; why it failed, empty where it did not."""
        nice = ("nice", "-n", "10") if shutil.which("nice") else ()
        try:
            process = await asyncio.create_subprocess_exec(
                *nice,
                *self._command,
                env=own_environment(os.environ),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            return f"could not be started: {error.strerror}"
        try:
            async with asyncio.timeout(BACKUP_S_MAX):
                _, said = await process.communicate()
        except TimeoutError:
            return f"it took longer than {BACKUP_S_MAX / 3_600.0:g} h"
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode == 0:
            return "" if self._is_made() else "the command succeeded, but made no new backup"
        assert process.returncode is not None
        words = said.decode(errors="replace").strip()[-WORDS_CHARS_MAX:]
        return f"it {describe_exit(process.returncode)}" + (f": {words}" if words else "")

    def _is_made(self) -> bool:
        """Return whether the newest backup is recent enough."""
        since_ms = self._since_newest_ms()
        return since_ms is not None and since_ms < self._every_ms


def backup_command(db: Path, folder: Path, config_file: str) -> list[str]:
    """The command that makes one backup, as this installation runs it."""
    config = ["--config", config_file] if config_file else []
    return own_command("papertape", "backup", "--db", str(db), "--to", str(folder), *config)
