"""Run one of our modules in a process of its own beside the engine, until it ends or the engine does."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from papertape.engine.child_processes import kill, own_command, own_environment
from papertape.events.errors import LogDamaged
from papertape.events.proving import DamageReport

if TYPE_CHECKING:
    from papertape.events.bus import Bus

TEXT_CHARS_MAX: Final = 300


class Outcome(Struct, frozen=True):
    """The output of a process, or why it failed; both are empty if the engine stopped first."""

    output: bytes = b""
    failure: str = ""


async def run_beside(bus: Bus, module: str, *arguments: str) -> Outcome:
    """Run a module and return its outcome; kill it when the bus closes. Raise LogDamaged if it reports a bad row."""
    try:
        process = await asyncio.create_subprocess_exec(
            *own_command(module, *arguments),
            env=own_environment(os.environ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        return Outcome(failure=f"no process could be started: {error.strerror}")
    try:
        output, errors = await _communicate(process, bus)
    finally:
        if process.returncode is None:
            kill(process)
            await process.wait()
    if process.returncode == LogDamaged.exit_code:
        damage = msgspec.json.decode(output, type=DamageReport)
        raise LogDamaged(damage.seq, f"{damage.reason} (found while running, by reading the log back)")
    if process.returncode == 0:
        return Outcome(output)
    if bus.closed:
        return Outcome()
    text = errors.decode(errors="replace").strip()[-TEXT_CHARS_MAX:]
    return Outcome(failure=text or f"it exited with {process.returncode}")


async def _communicate(process: asyncio.subprocess.Process, bus: Bus) -> tuple[bytes, bytes]:
    """Wait until the process ends, or kill it when the bus closes; return its output and errors."""
    ending = asyncio.ensure_future(process.communicate())
    closing = asyncio.ensure_future(bus.wait_closed())
    try:
        await asyncio.wait({ending, closing}, return_when=asyncio.FIRST_COMPLETED)
        if not ending.done():
            kill(process)
        return await ending
    finally:
        for task in (ending, closing):
            task.cancel()
        await asyncio.gather(ending, closing, return_exceptions=True)


async def closed_within(bus: Bus, seconds: float) -> bool:
    """Wait, and return whether the bus closed meanwhile."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await bus.wait_closed()
    return bus.closed
