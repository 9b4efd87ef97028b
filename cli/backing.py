"""Backups as the engine makes them: a process of its own, now and then, beside the running engine."""

from __future__ import annotations

import asyncio
import os
import shutil
from typing import TYPE_CHECKING, Final

from cli.programs import own_command, own_environment
from engine.backup import backups
from projections.watchdog.dog import closed_within

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from engine.clock import Clock
    from projections.watchdog.dog import Bus

LOOK_S: Final = 300.0
FIRST_AFTER_S: Final = 600.0
"""A start is busy enough without a backup."""
AGAIN_AFTER_S: Final = 3_600.0
"""After one that failed."""
BACKUP_S_MAX: Final = 6 * 3_600.0
WORDS_CHARS_MAX: Final = 300
HOUR_MS: Final = 3_600_000.0


class Backing:
    """Makes a backup whenever the newest is `every_hours` old. One that fails is warned of and tried again later."""

    def __init__(
        self,
        db: Path,
        folder: Path,
        every_hours: float,
        command: Sequence[str],
        bus: Bus,
        clock: Clock,
        warn: Callable[[str], None],
    ) -> None:
        """`command` makes one backup of `db` in `folder` and ends with 0."""
        self._db, self._folder, self._every_ms = db, folder, every_hours * HOUR_MS
        self._command, self._bus, self._clock, self._warn = command, bus, clock, warn
        self._begun_ms = clock.now_ms()
        self._not_before_ms = self._begun_ms + FIRST_AFTER_S * 1_000.0

    def age_s(self) -> float | None:
        """How old the newest backup is, the engine's life where there is none; None in the first hour of that life."""
        now_ms = self._clock.now_ms()
        if now_ms - self._begun_ms < HOUR_MS:
            return None
        return (now_ms - self._newest_ms(self._begun_ms)) / 1_000.0

    def _newest_ms(self, otherwise_ms: int) -> int:
        found = backups(self._folder, self._db.name)
        return found[-1].at_ms if found else otherwise_ms

    async def run(self) -> None:
        """Until the bus is closed."""
        while not await closed_within(self._bus, self._clock, LOOK_S):
            now_ms = self._clock.now_ms()
            if now_ms >= self._not_before_ms and now_ms - self._newest_ms(0) >= self._every_ms:
                failure = await self._make()
                if failure:
                    self._warn(f"no backup: {failure}; it is tried again in {AGAIN_AFTER_S / 60.0:g} minutes")
                    self._not_before_ms = now_ms + AGAIN_AFTER_S * 1_000.0

    async def _make(self) -> str:
        """Make one; why it failed, empty where it did not."""
        nice = ("nice", "-n", "10") if shutil.which("nice") else ()
        process = await asyncio.create_subprocess_exec(
            *nice,
            *self._command,
            env=own_environment(os.environ),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(BACKUP_S_MAX):
                _, said = await process.communicate()
        except TimeoutError:
            return f"it took longer than {BACKUP_S_MAX / 3_600.0:g} h"
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return "" if process.returncode == 0 else said.decode(errors="replace").strip()[-WORDS_CHARS_MAX:]


def backup_command(db: Path, folder: Path, config_file: str) -> list[str]:
    """The command that makes one backup, as this installation runs it."""
    config = ["--config", config_file] if config_file else []
    return own_command("backup", "--db", str(db), "--to", str(folder), *config)
