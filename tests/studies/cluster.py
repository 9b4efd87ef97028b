"""A real scheduler and real workers as processes, and a study as a process, to be killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import closing, contextmanager, suppress
from random import sample
from threading import Event, Thread
from typing import TYPE_CHECKING, Self

from tests.support import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECOND_DEATH = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
PORTS = range(12_000, 30_000)
"""Below those that the system gives to a connection: one of them could take a scheduler's while it is down."""


def begin(module: str, *arguments: str, stdout: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
    """Start `python -m MODULE ARGUMENTS` in the repository."""
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", module, *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **SECOND_DEATH, "PYTHONPATH": str(REPOSITORY)},
        stdout=stdout,
        stderr=subprocess.STDOUT,
        text=True,
    )


def free_port() -> int:
    """A port that nobody listens at."""
    for port in sample(PORTS, len(PORTS)):
        with closing(socket.socket()) as tried, suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port
    raise OSError("every port is taken")


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a process that can do nothing about it."""
    process.send_signal(signal.SIGKILL)
    process.communicate()


def begin_study(folder: Path, name: str, executor: str) -> subprocess.Popen[str]:
    """Start, or resume, a small study by `here`, `processes` or the scheduler at an address."""
    return begin("tests.studies.study_process", str(folder), name, executor, stdout=subprocess.PIPE)


def end_of(study: subprocess.Popen[str]) -> tuple[int, list[str]]:
    """The exit code and the lines of a study that comes to its end."""
    assert study.stdout is not None
    with study:  # What was read ahead of a line comes first, which `communicate` would leave out.
        lines = study.stdout.read().splitlines()
    return study.returncode, lines


class Cluster:
    """A scheduler and two workers on this machine."""

    def __init__(self, folder: Path) -> None:
        self._port = free_port()
        self.address = f"tcp://127.0.0.1:{self._port}"
        self.folder = folder
        self.scheduler = self._begin_scheduler()
        self.workers = [self.begin_worker(), self.begin_worker()]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in (*self.workers, self.scheduler):
            kill(process)

    def begin_worker(self) -> subprocess.Popen[str]:
        """Start a worker of one thread."""
        options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(self.folder))
        return begin("distributed.cli.dask_worker", self.address, *options)

    def kill_worker(self, place: int) -> None:
        """Kill a worker and start another one."""
        kill(self.workers[place])
        self.workers[place] = self.begin_worker()

    @contextmanager
    def restarting(self) -> Iterator[None]:
        """Start a worker for each that ends, as a nanny or a restart policy does."""
        ended = Event()

        def watch() -> None:
            while not ended.wait(0.05):
                for place, one in enumerate(self.workers):
                    if one.poll() is not None:
                        self.kill_worker(place)

        thread = Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def kill_scheduler(self) -> None:
        """Kill the scheduler; its workers end, as they do without one, and all of them start again."""
        for process in (self.scheduler, *self.workers):
            kill(process)
        self.scheduler = self._begin_scheduler()
        self.workers = [self.begin_worker(), self.begin_worker()]

    def _begin_scheduler(self) -> subprocess.Popen[str]:
        options = ("--host", "127.0.0.1", "--port", str(self._port), "--no-dashboard")
        return begin("distributed.cli.dask_scheduler", *options)
