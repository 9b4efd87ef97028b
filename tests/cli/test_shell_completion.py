"""Completion in real shells, installed as the docs say: commands, options, their values, strategies and files."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.engine.processes import environment
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.system

PROGRAMS = Path(sys.executable).parent
READY = "shell-is-ready"
CASES = (
    ("papertape ru", "papertape run"),
    ("papertape run --fe", "papertape run --feed"),
    ("papertape run --feed bit", "papertape run --feed bitget"),
    ("papertape backtest --strategy mom", "papertape backtest --strategy momentum"),
    ("papertape backtest --candles my-can", "papertape backtest --candles my-candles.csv"),
)
"""What is typed before a tab, and what the line is afterwards."""


def variables(home: Path) -> dict[str, str]:
    found = environment(HOME=str(home), TERM="dumb", PATH=f"{PROGRAMS}:{os.environ['PATH']}")
    return {name: value for name, value in found.items() if not name.startswith(("XDG_", "ZDOTDIR"))}


def installed(shell: str, home: Path) -> dict[str, str]:
    """Install the completion from within a shell; return the variables of its next session."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    if not (PROGRAMS / "papertape").exists():
        pytest.skip("papertape is not on the PATH")
    (home / "my-candles.csv").touch()
    # The second command keeps the shell from becoming papertape, which looks for the shell that started it.
    script = "papertape --install-completion; echo installed"
    done = subprocess.run(
        [shell, "-c", script], cwd=home, env=variables(home), capture_output=True, text=True, check=True
    )
    assert f"{shell} completion installed" in done.stdout
    return variables(home)


def test_fish_completes(tmp_path: Path) -> None:
    env = installed("fish", tmp_path)
    for typed, wanted in CASES:
        found = subprocess.check_output(["fish", "-c", f"complete -C '{typed}'"], cwd=tmp_path, env=env, text=True)
        words = [line.partition("\t")[0] for line in found.splitlines()]
        assert wanted.rpartition(" ")[2] in words, (typed, found)


def test_zsh_completes(tmp_path: Path) -> None:
    env = installed("zsh", tmp_path)
    (tmp_path / ".zshenv").write_text("skip_global_compinit=1\n")
    with (tmp_path / ".zshrc").open("a") as file:
        file.write(f"\nunset zle_bracketed_paste\nPS1='{READY}> '\n")
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execvpe("zsh", ["zsh", "-i"], env)
    try:
        until(terminal, READY)
        for typed, wanted in CASES:
            os.write(terminal, f"{typed}\t".encode())
            until(terminal, wanted)
            os.write(terminal, b"\x15")  # Ctrl-U: an empty line.
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


def until(terminal: int, wanted: str) -> None:
    """Read a terminal until it shows a text."""
    shown, ends_s = "", time.monotonic() + PATIENCE_S
    while wanted not in shown:
        assert time.monotonic() < ends_s, f"{wanted!r} is not in {shown!r}"
        if select.select([terminal], [], [], 0.1)[0]:
            shown += os.read(terminal, 65_536).decode(errors="replace")
