"""Commands from a terminal: to the engine that runs on the log, or, where none does, into the log itself."""

from __future__ import annotations

import getpass
from importlib.metadata import version
from typing import TYPE_CHECKING

from papertape.cli.config.sections import load_config, strategies_of
from papertape.cli.environment.streams import write_message
from papertape.cli.environment.tasks import run_tasks
from papertape.cli.wiring import warn
from papertape.engine.control_socket import EngineNotRunning, send_command
from papertape.engine.ports.clock import SystemClock
from papertape.engine.startup import EngineSettings, submit_offline
from papertape.events.errors import LogHeld

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.events.commands import Accepted, Command


def submit_command(db: Path | None, config: Path | None, asked: Command) -> None:
    """Have a command taken, and say where it stands in the log.

    Raises CommandRefused where it does not fit the state, LogHeld when another process holds the log and takes none.
    """
    loaded = load_config(config)
    path = db or loaded.database
    settings = EngineSettings(path, version("papertape"), strategies_of(loaded), {})
    accepted, where = run_tasks(lambda: _submit(path, settings, asked))
    span = f"seq {accepted.first_seq}" + (f" to {accepted.last_seq}" if accepted.last_seq > accepted.first_seq else "")
    write_message(f"taken {where}: {span} of {path}\n")


async def _submit(path: Path, settings: EngineSettings, asked: Command) -> tuple[Accepted, str]:
    try:
        return await send_command(path, asked), "by the running engine"
    except EngineNotRunning:
        pass
    try:
        return await submit_offline(settings, asked, SystemClock(), warn), "into the log"
    except LogHeld as held:
        raise LogHeld(f"{held}; it takes no commands from the terminal") from None


def owner() -> str:
    """Who gives the command, where nothing else is said: the name of the user of this machine."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "owner"
