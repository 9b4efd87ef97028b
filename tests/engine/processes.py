"""The real `papertape` as a process: start it, read its output, kill it, restart it."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from tests.patience import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]


def command(*arguments: str) -> list[str]:
    """The command line of the real program."""
    return [sys.executable, "-m", "papertape", *arguments]


def environment(**extra: str) -> dict[str, str]:
    """A clean environment in which the sources are found from any folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PAPERTAPE_")}
    return {**kept, "PYTHONPATH": str(ROOT), **extra}


class ForkServer:
    """The process of `tests.fork_server` that starts this process's commands."""

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp()
        self._path = str(Path(self._folder) / "socket")
        self.variables = interpreter_variables(environment())
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.fork_server", self._path],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        self.process.stdout.readline()

    def run(self, folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        request = json.dumps([arguments, str(folder.absolute()), variables]).encode() + b"\n"
        with (
            socket.socket(socket.AF_UNIX) as connection,
            tempfile.TemporaryFile("w+") as out,
            tempfile.TemporaryFile("w+") as errors,
        ):
            connection.settimeout(PATIENCE_S)
            connection.connect(self._path)
            sent = socket.send_fds(connection, [request], [0, out.fileno(), errors.fileno()])
            connection.sendall(request[sent:])
            with connection.makefile("r") as answers:
                pid = int(answers.readline())
                try:
                    code = int(answers.readline())
                except TimeoutError:
                    os.kill(pid, signal.SIGKILL)
                    raise
            out.seek(0)
            errors.seek(0)
            return subprocess.CompletedProcess(command(*arguments), code, out.read(), errors.read())

    def end(self) -> None:
        """End the server and wait for it."""
        self.process.communicate()
        shutil.rmtree(self._folder)


@cache
def fork_server() -> ForkServer:
    """Return this process's fork server, which the end of the tests ends."""
    return ForkServer()


def end_fork_server() -> None:
    """End the fork server if there is one."""
    if fork_server.cache_info().currsize:
        fork_server().end()
        fork_server.cache_clear()


def interpreter_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that an interpreter reads once, when it starts."""
    return {name: value for name, value in variables.items() if name.startswith(("PYTHON", "LANG", "LC_"))}


def papertape(folder: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    variables = environment(**extra)
    if interpreter_variables(variables) == fork_server().variables:
        return fork_server().run(folder, *arguments, **variables)
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
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
        code = process.wait(PATIENCE_S)
    lines = told.read_bytes().split(b"\n")[:-1]  # What stands behind the last newline was cut by the kill.
    return code, [json.loads(line) for line in lines]


def kill_until_done(folder: Path, seed: int, kills: int, *arguments: str) -> list[dict[str, Any]]:
    """Kill the program at random instants, then let it finish; all it ever told.

    A kill comes within the time of a short run and a little more here, so that many hit an engine at work. A run
    that was faster than its kill ended well; the kills go on with whoever starts on the finished log.
    """
    chance = random.Random(seed)
    told: list[dict[str, Any]] = []
    start_s = started_s(folder)
    for _ in range(kills):
        code, events = run_and_kill(folder, chance.uniform(0.0, 1.2 * start_s), *arguments)
        assert code in (0, -signal.SIGKILL)
        told += events
    code, events = run_and_kill(folder, PATIENCE_S, *arguments)
    assert code == 0
    return told + events


def started_s(folder: Path) -> float:
    """How long a short run takes on this machine now."""
    started = time.monotonic()
    ok(folder, "run", "--feed", "sim", "--speed", "max", "--until-end", "--db", "start.db",
       "--set", "feed.sim.days=1", "feed.sim.warm_up_days=0", "feed.sim.symbols=BTCUSDT")  # fmt: skip
    return time.monotonic() - started


@contextmanager
def running(
    folder: Path, *arguments: str, until: str = "", begun_s: float = 0.0, variables: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """The program while it runs: since `begun_s`, or from the first line that holds `until`; killed in the end."""
    with (folder / "stderr.txt").open("w") as errors:
        process = subprocess.Popen(
            command(*arguments),
            cwd=folder,
            env=environment(**(variables or {})),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        assert process.stdout is not None
        time.sleep(begun_s)
        for line in process.stdout if until else ():
            if until in line:
                break
        yield process
    finally:
        process.kill()
        process.communicate()


def ended_s(process: subprocess.Popen[str], number: signal.Signals) -> float:
    """Send a signal, read what is still said; the seconds until the program has ended."""
    started = time.monotonic()
    process.send_signal(number)
    process.communicate(timeout=PATIENCE_S)
    return time.monotonic() - started
