"""Send a signal from a terminal to the engine that runs on the log."""

from __future__ import annotations

import re
import secrets
from math import isfinite
from typing import TYPE_CHECKING, Final

import msgspec

from papertape.cli.arguments import moment_ms
from papertape.cli.config.overrides import load_config
from papertape.cli.environment.streams import write_message
from papertape.cli.environment.tasks import run_tasks
from papertape.engine.control_socket import send_signals
from papertape.events.errors import UsageError
from papertape.events.facts import SIGNAL_NAME_PATTERN
from papertape.events.signals import Signal, SignalBatch, row_id

if TYPE_CHECKING:
    from pathlib import Path

TERMINAL: Final = "terminal"
"""The source of signals sent by this command."""


def submit_signal(
    db: Path | None, config: Path | None, name: str, value: float, symbol: str, own_id: str, at: str | None
) -> None:
    """Record a signal, and print its seq in the log.

    Raise UsageError for an invalid one or without a running engine, CommandRefused if it does not fit the state.
    """
    path = db or load_config(config).database
    if not re.fullmatch(SIGNAL_NAME_PATTERN, name):
        raise UsageError(f"{name!r} is not a name: write lower-case letters, digits and underscores, at most 32")
    if not isfinite(value):
        raise UsageError(f"{value} is not a value: write a finite number")
    at_ms = None if at is None else moment_ms(at, "--at")
    default_id = secrets.token_hex(12) if at_ms is None else row_id(at_ms, symbol, name)
    signal = Signal(symbol=symbol, name=name, value=value, source=TERMINAL, id=own_id or default_id, at_ms=at_ms)
    try:
        batch = msgspec.convert(msgspec.to_builtins(SignalBatch((signal,))), SignalBatch)
    except msgspec.ValidationError as error:
        reason, _, field = str(error).replace("`", "").partition(" - at $.signals[0].")
        raise UsageError(f"{field}: {reason}") from None
    recorded = run_tasks(lambda: send_signals(path, batch))
    if recorded.repeated:
        write_message(f"the log of {path} holds this signal already\n")
    else:
        write_message(f"recorded by the running engine: seq {recorded.first_seq} of {path}\n")
