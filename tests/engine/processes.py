"""The real `papertape` as a process: start it, read its output, kill it, restart it."""

from __future__ import annotations

import json
import os
import random
import select
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
from typing import IO, Any

from papertape.cli.keeper.status_board import KEEPER
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

    def start(
        self, folder: Path, arguments: tuple[str, ...], variables: Mapping[str, str], out: int, errors: int
    ) -> tuple[int, IO[str]]:
        """Start a command; its pid, and where its exit code will stand on a line."""
        request = json.dumps([arguments, str(folder.absolute()), variables]).encode() + b"\n"
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self._path)
            sent = socket.send_fds(connection, [request], [0, out, errors])
            connection.sendall(request[sent:])
            exits = connection.makefile("r")
        return int(exits.readline()), exits

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


class ForkedProcess(subprocess.Popen[str]):
    """A command that a fork server has started; standard output goes to a file, or into a pipe."""

    def __init__(
        self, folder: Path, arguments: tuple[str, ...], variables: Mapping[str, str], errors: int, out: int = -1
    ) -> None:
        self.args, self.returncode = command(*arguments), None
        self.stdin = self.stderr = self.stdout = None
        if out < 0:
            read, out = os.pipe()
            self.stdout = open(read, encoding="utf-8")  # noqa: PTH123, SIM115 - a pipe, closed by whoever reads it
        self.pid, self._exits = fork_server().start(folder, arguments, variables, out, errors)
        if self.stdout:
            os.close(out)

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self._exit_code(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end. Raise TimeoutExpired if it does not come."""
        if (code := self._exit_code(timeout)) is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return code

    def communicate(self, input: str | None = None, timeout: float | None = None) -> tuple[Any, Any]:  # noqa: A002, ARG002
        """Read what is still said, and wait for the end."""
        said = self.stdout.read() if self.stdout and not self.stdout.closed else ""
        if self.stdout:
            self.stdout.close()
        self.wait(timeout)
        return said, ""

    def _exit_code(self, timeout_s: float | None) -> int | None:
        if self.returncode is None and select.select([self._exits], [], [], timeout_s)[0]:
            with self._exits as exits:
                self.returncode = int(exits.readline())
        return self.returncode


def started(
    folder: Path, *arguments: str, variables: Mapping[str, str], errors: IO[Any], out: IO[Any] | None = None
) -> subprocess.Popen[str]:
    """Start the program with an environment; what it says goes to a file or into a pipe."""
    if interpreter_variables(variables) == fork_server().variables:
        return ForkedProcess(folder, arguments, variables, errors.fileno(), out.fileno() if out else -1)
    return subprocess.Popen(
        command(*arguments), cwd=folder, env=variables, stdout=out or subprocess.PIPE, stderr=errors, text=True
    )


def papertape(folder: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        process = started(folder, *arguments, variables=environment(**extra), errors=errors, out=out)
        try:
            code = process.wait(PATIENCE_S)
        finally:
            process.kill()
        out.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(process.args, code, out.read(), errors.read())


def ok(folder: Path, *arguments: str, **extra: str) -> str:
    """Run the program to its end, which must be a good one; what it printed."""
    done = papertape(folder, *arguments, **extra)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_and_kill(folder: Path, after_s: float, *arguments: str, **extra: str) -> tuple[int, list[dict[str, Any]]]:
    """Start the program and kill it after a while; its exit code, and the events it told before it died."""
    told = folder / "told.jsonl"
    with told.open("wb") as out, Path(os.devnull).open("wb") as errors:
        process = started(folder, *arguments, variables=environment(**extra), errors=errors, out=out)
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
    """The program while it runs, from the first line that holds `until`; killed in the end.

    With `begun_s` it is yielded so long after its interpreter has started.
    """
    with (folder / "stderr.txt").open("w") as errors:
        if begun_s or KEEPER in (variables or {}):  # A program ends when its keeper is not its parent.
            process = subprocess.Popen(
                command(*arguments), cwd=folder, env=environment(**(variables or {})), stdout=subprocess.PIPE,
                stderr=errors, text=True,
            )  # fmt: skip
        else:
            process = started(folder, *arguments, variables=environment(**(variables or {})), errors=errors)
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
