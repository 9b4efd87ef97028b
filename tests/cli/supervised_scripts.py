"""A supervisor of two shell scripts, as a process: `python -m tests.cli.supervised_scripts ENGINE WEB SECONDS SHELL`.

The engine answers while there is a file `engine.answers`, the page while there is `web.answers`. The keeper takes over
what others leave behind, as the first process of a container does.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

from papertape.cli.keeper.hang_detector import HangDetector
from papertape.cli.keeper.process_supervisor import ProcessSupervisor, Program
from papertape.cli.keeper.status_board import Slot, new_board
from papertape.cli.keeper.systemd import SystemdNotifier

PR_SET_CHILD_SUBREAPER = 36
SILENT_S_MAX = 0.6


def script(name: str, text: str, slot: Slot, shell: str) -> Program:
    """Return a program that first writes its pid to a file."""
    return Program(name, [shell, "-c", f"echo $$ >> {name}.pids; {text}"], dict(os.environ), slot)


def tell(text: str) -> None:
    """Print a line for the test."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # Also where the tests themselves are to outlive a hang-up.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    engine, web, stop_s_max, shell = sys.argv[1:]
    notify = SystemdNotifier(os.environ, Path("engine.up").exists)
    answers = [HangDetector(Path(f"{name}.answers").exists, SILENT_S_MAX) for name in ("engine", "web")]
    both = (script("engine", engine, "engine", shell), answers[0]), (script("web", web, "page", shell), answers[1])
    sys.exit(ProcessSupervisor(*both, tell, notify, new_board(), float(stop_s_max)).run())
