"""The command lines that continue a study and that run its chosen set again, ready to be copied."""

from __future__ import annotations

import shlex


def resume_command(name: str) -> str:
    """Return the command that continues a study from what is stored, and ends in its verdict."""
    return shlex.join(("papertape", "walkforward", name))


def backtest_command(name: str) -> str:
    """Return the command that writes the backtest of a study's chosen set to a log beside the study's file."""
    return shlex.join(("papertape", "study", "backtest", name))


def show_log_command(log: str) -> str:
    """Return the command that shows a log on pages of its own."""
    return shlex.join(("papertape", "ui", "--port", "0", "--db", log))
