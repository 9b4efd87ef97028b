"""Send a command from a terminal to the engine that runs on the log or, if none does, write it to the log."""

from __future__ import annotations

import getpass
from importlib.metadata import version
from typing import TYPE_CHECKING

from papertape.cli.config.instances import strategy_loader
from papertape.cli.config.overrides import load_config_of_log
from papertape.cli.config.sections import strategies_of
from papertape.cli.environment.streams import write_message
from papertape.cli.environment.tasks import run_tasks
from papertape.cli.wiring import warn
from papertape.engine.control_socket import EngineNotRunning, send_command
from papertape.engine.ports.clock import SystemClock
from papertape.engine.startup import EngineSettings, submit_offline
from papertape.events.errors import LogHeld

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.events.commands import Accepted, Reload, StateCommand


def submit_command(db: Path | None, config: Path | None, command: StateCommand) -> None:
    """Submit a command, and print its seqs in the log.

    Raise CommandRefused if it does not fit the state, LogHeld if another process holds the log and accepts none.
    """
    loaded = load_config_of_log(config)
    path = db or loaded.database
    load = strategy_loader(loaded)
    settings = EngineSettings(path, version("papertape"), strategies_of(loaded), {}, load=load)
    accepted, outcome = run_tasks(lambda: _submit(path, settings, command))
    write_message(f"{_outcome(accepted, outcome, path)}\n")


def submit_reload(db: Path | None, config: Path | None, command: Reload) -> None:
    """Have the running engine reload its configuration, and print what changed.

    Raise CommandRefused with every reason, and EngineNotRunning where a start applies the configuration anyway.
    """
    path = db or load_config_of_log(config).database
    try:
        accepted = run_tasks(lambda: send_command(path, command))
    except EngineNotRunning as error:
        raise EngineNotRunning(f"{error}; the next start applies the configuration") from None
    write_message("".join(f"{line}\n" for line in (*accepted.changes, _outcome(accepted, "reloaded", path))))


def _outcome(accepted: Accepted, verb: str, path: Path) -> str:
    span = f"seq {accepted.first_seq}" + (f" to {accepted.last_seq}" if accepted.last_seq > accepted.first_seq else "")
    return f"{verb}: {span} of {path}"


async def _submit(path: Path, settings: EngineSettings, command: StateCommand) -> tuple[Accepted, str]:
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
