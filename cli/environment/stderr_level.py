"""The level of stderr output where no logging is configured: `-v` and `-q` of commands that run to completion."""

from __future__ import annotations

import os
from typing import Final

STDERR_VARIABLE: Final = "PAPERTAPE_LOGS__STDERR"
"""The variable of `logs.stderr`."""


def is_quiet() -> bool:
    """Return whether only errors are wanted."""
    return os.environ.get(STDERR_VARIABLE) == "error"


def is_verbose() -> bool:
    """Return whether more than warnings is wanted."""
    return os.environ.get(STDERR_VARIABLE) in ("info", "debug")
