"""Backups on a schedule: the running engine starts a process for each."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING, Final

from papertape.cli.keeper.helper import helper_environment
from papertape.cli.keeper.restart_policy import describe_exit
from papertape.engine.backup import newest_backup, remove_leftovers
from papertape.engine.backup_attempts import failed_attempts
from papertape.engine.child_processes import kill, own_command
from papertape.events.units import HOUR_MS
from papertape.projections.text.formats import utc
from papertape.projections.watchdog.watchdog import closed_within

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from papertape.cli.config.sections import BackupSection
    from papertape.engine.ports.clock import Clock
    from papertape.projections.watchdog.watchdog import HeadAnnouncer

CHECK_EVERY_S: Final = 300.0
FIRST_AFTER_S: Final = 600.0
"""An engine is busy enough at its start."""
RETRY_AFTER_S: Final = 3_600.0
BACKUP_S_MAX: Final = 6 * 3_600.0
ERROR_CHARS_MAX: Final = 300
HOUR_S: Final = HOUR_MS / 1_000.0


class BackupSchedule:
    """Make a backup whenever the newest is `every_hours` old. After a failure, warn and retry later."""

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
        """Schedule `command`, which makes one backup of `db` in `folder` and exits with 0."""
        self._db, self._folder, self._every_ms = db, folder, every_hours * HOUR_MS
        self._command, self._bus, self._clock, self._warn = command, bus, clock, warn
        self._uptime_s = 0.0  # Counted by the pauses, because the wall clock may be set while the engine runs.
        self._not_before_s = FIRST_AFTER_S

    def age_s(self) -> float | None:
        """Return the newest backup's age, or the engine's uptime if there is none; None in the first hour of uptime."""
        if self._uptime_s < HOUR_S:
            return None
        since_ms = self._since_newest_ms()
        return self._uptime_s if since_ms is None else since_ms / 1_000.0

    def _since_newest_ms(self) -> int | None:
        """Return the age of the newest backup with a plausible date; None if there is none."""
        now_ms = self._clock.now_ms()
        newest = newest_backup(self._folder, self._db.name, now_ms)
        return None if newest is None else max(0, now_ms - newest.at_ms)

    async def run(self) -> None:
        """Make backups until the bus is closed."""
        await asyncio.to_thread(remove_leftovers, self._folder)
        while True:
            is_closed = await closed_within(self._bus, self._clock, CHECK_EVERY_S)
            self._uptime_s += CHECK_EVERY_S
            if is_closed:
                return
            since_ms = self._since_newest_ms()
            if self._uptime_s >= self._not_before_s and (since_ms is None or since_ms >= self._every_ms):
                await self._try()

    async def _try(self) -> None:
        """Make a backup; after a failure, warn, tidy up and wait before the next try."""
        failure = await self._make()
        if failure:
            self._warn(f"no backup: {failure}; retrying in {RETRY_AFTER_S / 60.0:g} minutes")
            self._not_before_s = self._uptime_s + RETRY_AFTER_S
            await asyncio.to_thread(remove_leftovers, self._folder)

    async def _make(self) -> str:
        """Make a backup; return why it failed, or an empty text."""
        nice = ("nice", "-n", "10") if shutil.which("nice") else ()
        try:
            process = await asyncio.create_subprocess_exec(
                *nice,
                *self._command,
                env=helper_environment(),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            return f"could not be started: {error.strerror}"
        try:
            async with asyncio.timeout(BACKUP_S_MAX):
                _, errors = await process.communicate()
        except TimeoutError:
            return f"it took longer than {BACKUP_S_MAX / 3_600.0:g} h"
        finally:
            if process.returncode is None:
                kill(process)
                await process.wait()
        if process.returncode == 0:
            return "" if self._is_made() else "the command succeeded, but made no new backup"
        assert process.returncode is not None
        text = errors.decode(errors="replace").strip()[-ERROR_CHARS_MAX:]
        return f"it {describe_exit(process.returncode)}" + (f": {text}" if text else "")

    def _is_made(self) -> bool:
        since_ms = self._since_newest_ms()
        return since_ms is not None and since_ms < self._every_ms


def scheduled_backups(
    db: Path,
    settings: BackupSection | None,
    config_file: str,
    bus: HeadAnnouncer,
    clock: Clock,
    warn: Callable[[str], None],
) -> BackupSchedule | None:
    """Return the schedule that the settings ask for, None if they ask for none."""
    if settings is None or not settings.every_hours:
        return None
    folder = db.parent / settings.folder
    return BackupSchedule(db, folder, settings.every_hours, backup_command(db, folder, config_file), bus, clock, warn)


def failure_words(db: Path, now_ms: int) -> dict[str, str]:
    """Return why the newest backup to each destination failed, with the time of the last good one."""
    return {
        one.destination: f"{one.failure}; the last good one ended {_when(one.good_at_ms)}"
        for one in failed_attempts(db, now_ms)
    }


def _when(at_ms: int) -> str:
    return f"{utc(at_ms)} UTC" if at_ms else "never"


def backup_command(db: Path, folder: Path, config_file: str) -> list[str]:
    """Return the command line that makes one backup with this installation."""
    config = ["--config", config_file] if config_file else []
    return own_command("papertape", "backup", "--db", str(db), "--to", str(folder), *config)
