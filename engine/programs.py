"""How this program starts itself: a child runs the very sources that its parent runs, wherever one stands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT: Final = Path(__file__).resolve().parents[1]


def own_command(module: str, *arguments: str) -> list[str]:
    """Return the command line of one of our modules, under the options this interpreter was started with.

    `-P` keeps a `cli.py` or `events.py` of the working directory from taking the place of ours.
    """
    # The standard library has no public name for it, and its own `multiprocessing` starts children with it.
    options = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # noqa: SLF001
    return [sys.executable, *dict.fromkeys([*options, "-P"]), "-m", module, *arguments]


def own_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which a child finds these sources before whatever else was said."""
    there = environment.get("PYTHONPATH")
    return {**environment, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [there])])}
