"""Send a command from a terminal to the engine that runs on the log or, if none does, write it to the log."""

from __future__ import annotations

import getpass
from importlib.metadata import version
from typing import TYPE_CHECKING

from papertape.cli.config.overrides import load_config_of_log
from papertape.cli.config.sections import strategies_of
from papertape.cli.environment.streams import write_message
from papertape.cli.environment.tasks import run_tasks
from papertape.cli.wiring import warn
from papertape.engine.control_socket import EngineNotRunning, send_command
from papertape.engine.ports.clock import SystemClock
from papertape.engine.startup import EngineSettings, submit_offline
from papertape.engine.strategy_registry import reload_from
from papertape.events.errors import LogHeld

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.events.commands import Accepted, Command


def submit_command(db: Path | None, config: Path | None, command: Command) -> None:
    """Submit a command, and print its seqs in the log.

    Raise CommandRefused if it does not fit the state, LogHeld if another process holds the log and accepts none.
    """
    loaded = load_config_of_log(config)
    path = db or loaded.database
    reload = reload_from(loaded.strategy_folders)
    settings = EngineSettings(path, version("papertape"), strategies_of(loaded), {}, reload=reload)
    accepted, outcome = run_tasks(lambda: _submit(path, settings, command))
    span = f"seq {accepted.first_seq}" + (f" to {accepted.last_seq}" if accepted.last_seq > accepted.first_seq else "")
    write_message(f"{outcome}: {span} of {path}\n")


async def _submit(path: Path, settings: EngineSettings, command: Command) -> tuple[Accepted, str]:
    try:
        return await send_command(path, command), "accepted by the running engine"
    except EngineNotRunning:
        pass
    try:
        return await submit_offline(settings, command, SystemClock(), warn), "written to the log"
    except LogHeld as held:
        raise LogHeld(f"{held}; it accepts no commands from the terminal") from None


def owner() -> str:
    """Return the name of this machine's user, who gives the command unless --who names somebody else."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "owner"
