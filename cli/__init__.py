"""The command line: its commands, the configuration, and the one place that builds the object graph."""

from typing import Final

INTERRUPTED: Final = 130
"""The exit code after Ctrl-C."""
