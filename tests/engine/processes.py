"""The real `papertape` as a process: started, listened to, killed, started again."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ENDS_S_MAX = 120.0


def command(*arguments: str) -> list[str]:
    """The command line of the real program."""
    return [sys.executable, "-m", "cli", *arguments]


def environment(**extra: str) -> dict[str, str]:
    """A clean environment in which the sources are found from any folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PAPERTAPE_")}
    return {**kept, "PYTHONPATH": str(ROOT), **extra}


def papertape(folder: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        env=environment(**extra),
        capture_output=True,
        text=True,
        timeout=ENDS_S_MAX,
        check=False,
    )


def ok(folder: Path, *arguments: str, **extra: str) -> str:
    """Run the program to its end, which must be a good one; what it printed."""
    done = papertape(folder, *arguments, **extra)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_and_kill(folder: Path, after_s: float, *arguments: str, **extra: str) -> tuple[int, list[dict[str, Any]]]:
    """Start the program and kill it after a while; its exit code, and the events it told before it died."""
    told = folder / "told.jsonl"
    with told.open("wb") as out:
        process = subprocess.Popen(
            command(*arguments), cwd=folder, env=environment(**extra), stdout=out, stderr=subprocess.DEVNULL
        )
        try:
            process.wait(after_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        code = process.wait(ENDS_S_MAX)
    lines = told.read_bytes().split(b"\n")[:-1]  # What stands behind the last newline was cut by the kill.
    return code, [json.loads(line) for line in lines]


def kill_until_done(folder: Path, seed: int, kills_max: int, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    """Kill the program at random instants, then let it finish; how often it was killed, and all it ever told."""
    chance = random.Random(seed)
    told: list[dict[str, Any]] = []
    started = time.monotonic()
    ok(folder, *arguments[:0], "--version")
    start_s = time.monotonic() - started
    for kills in range(kills_max):
        code, events = run_and_kill(folder, chance.uniform(0.0, 2.0 * start_s + 0.3), *arguments)
        told += events
        if code == 0:
            return kills, told
    code, events = run_and_kill(folder, ENDS_S_MAX, *arguments)
    assert code == 0
    return kills_max, told + events
