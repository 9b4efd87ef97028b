"""The helper processes of a supervised program: each ends with the program that started it."""

from __future__ import annotations

import os

from papertape.cli.keeper.status_board import KEEPER, SLOT
from papertape.engine.child_processes import own_environment


def helper_environment() -> dict[str, str]:
    """Return the environment of a helper: its supervisor is this process, and it has no slot on the status board."""
    own = {name: value for name, value in os.environ.items() if name != SLOT}
    return {**own_environment(own), KEEPER: str(os.getpid())}
