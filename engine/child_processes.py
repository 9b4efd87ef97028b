"""Start this program as a child that runs the same sources as its parent, whatever the working directory."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

ROOT: Final = Path(__file__).absolute().parents[2]
"""The folder that contains the package `papertape`: site-packages, or the checkout, where the rooms are links."""


def own_command(module: str, *arguments: str) -> list[str]:
    """Return the command line that runs one of our modules with this interpreter's own options.

    `-P` keeps a `cli.py` or `events.py` in the working directory from shadowing ours.
    """
    # The standard library has no public name for this; its own `multiprocessing` uses it to start children.
    options = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # noqa: SLF001
    return [sys.executable, *dict.fromkeys([*options, "-P"]), "-m", module, *arguments]


def own_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which a child finds these sources before any other `PYTHONPATH` entry."""
    paths = filter(None, [str(ROOT), environment.get("PYTHONPATH")])
    return {**environment, "PYTHONPATH": os.pathsep.join(paths)}


def kill(process: asyncio.subprocess.Process) -> None:
    """Kill a child, which may have ended a moment ago."""
    with suppress(ProcessLookupError):
        process.kill()
