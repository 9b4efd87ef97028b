"""A real `papertape up` on a simulated market, with one day in its log."""

from __future__ import annotations

import re
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from msgspec import Struct

from tests.engine.processes import command, environment, ok, running
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

DEMO = Path(__file__).parents[2] / "demo.toml"
MARKET = ("--config", str(DEMO), "--db", "log.db")
TOKEN = re.compile(r"commands need this token: (\S+)")


class Served(Struct):
    """The page's address, the token, the folder of the log, and the supervisor's process."""

    url: str
    token: str
    folder: Path
    pid: int

    @property
    def db(self) -> Path:
        """The log's file."""
        return self.folder / "log.db"


HISTORY = "feed.sim.warm_up_days=2"
"""So much history that the events, charts and trades that the tests look at lie at the same numbers."""


def example_day(folder: Path, *sets: str) -> None:
    """Write a day of the demo market at full speed: trades of every strategy, a repaired outage, a tripped switch."""
    ok(folder, "run", *MARKET, "--speed", "max", "--until-end", "--json", "--set", "feed.sim.days=1", HISTORY, *sets)


@contextmanager
def showing(served: Served, beside: Path) -> Iterator[str]:
    """Run a page of the same log without an engine, with a second log to compare; yield its address."""
    arguments = ("ui", *MARKET, "--port", "0", "--compare", str(beside))
    with running(served.folder, *arguments) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[1].partition("/login")[0]
        _wait_for(f"{url}/compare")
        yield url


@contextmanager
def up(folder: Path, speed: int) -> Iterator[Served]:
    """Run the supervisor with engine and page; yield once the page has caught up with the log."""
    with (folder / "up.txt").open("w") as out:
        process = subprocess.Popen(
            command("up", *MARKET, "--port", "0", "--speed", str(speed)),
            cwd=folder,
            env=environment(),
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        served = _announced(folder, process)
        _wait_until_ready(served)
        yield served
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def _announced(folder: Path, process: subprocess.Popen[bytes]) -> Served:
    """Return the first printed lines."""
    ends_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends_s:
        said = (folder / "up.txt").read_text()
        if (token := TOKEN.search(said)) is not None:
            return Served(said.split()[1].partition("/login")[0], token[1], folder, process.pid)
        assert process.poll() is None, said
        time.sleep(0.05)
    raise AssertionError("it never said where the page is")


def _wait_until_ready(served: Served) -> None:
    """Wait until the page answers that the engine trades."""
    try:
        _wait_for(f"{served.url}/ready")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{(served.folder / 'up.txt').read_text()[-2_000:]}") from error


def _wait_for(address: str) -> None:
    """Wait until an address answers with 200."""
    ends_s = time.monotonic() + PATIENCE_S
    last = "nothing"
    while time.monotonic() < ends_s:
        try:
            answer = httpx.get(address, timeout=PATIENCE_S)
        except httpx.TransportError as error:
            last = str(error)
        else:
            if answer.status_code == httpx.codes.OK:
                return
            last = answer.text[-2_000:]
        time.sleep(0.1)
    raise AssertionError(f"{address} was never there: {last}")
