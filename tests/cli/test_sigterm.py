"""SIGTERM ends every process within two seconds, whatever it waits for, and no coroutine is left unawaited."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from papertape.cli import INTERRUPTED
from papertape.events.facts import EngineStopped
from tests.cli.test_process_supervisor import wait_for
from tests.cli.test_up import child_named, children
from tests.engine.logs import of_type
from tests.engine.processes import command, environment, papertape, running
from tests.patience import PATIENCE_S, stretched

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.system

ENDS_S_MAX = 2.0
BOT = {"TELEGRAM_BOT_TOKEN": "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1", "TELEGRAM_CHAT_ID": "1"}
MARKET = (
    "--feed", "sim", "--speed", "600", "--db", "log.db", "--set", "feed.sim.warm_up_days=1", "feed.sim.symbols=BTCUSDT",
)  # fmt: skip
UNSHARE = shutil.which("unshare")


@contextmanager
def silent_host() -> Iterator[str]:
    """Yield an address that accepts every connection and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def ended_s(process: subprocess.Popen[str]) -> float:
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE_S)
    return time.monotonic() - started


@pytest.mark.parametrize("verb", ["run", "up"])
def test_an_engine_ends_in_time_while_telegram_hangs(tmp_path: Path, verb: str) -> None:
    port = ("--port", "0") if verb == "up" else ()
    with silent_host() as host:
        arguments = (verb, *port, *MARKET, f"telegram.api_url=http://{host}")
        with running(tmp_path, *arguments, until="connected", variables=BOT) as process:
            if verb == "up":
                wait_for(lambda: (tmp_path / "log.db.sock").exists() and child_named(process.pid, "ui") > 0)
            assert ended_s(process) < stretched(ENDS_S_MAX)
            assert process.returncode == 0
    (stopped,) = of_type(tmp_path / "log.db", EngineStopped)
    assert isinstance(stopped, EngineStopped)
    assert stopped.reason == "asked to stop"


@pytest.mark.parametrize(
    "verb",
    [
        "run --feed bitget --db log.db --set feed.bitget.rest_url=http://HOST feed.bitget.ws_url=ws://HOST",
        "doctor --exchange --set feed.bitget.rest_url=http://HOST feed.bitget.ws_url=ws://HOST",
        "download --symbol BTCUSDT --from 2025-01-01 --to 2025-02-01 --rest-url http://HOST",
        "twin telegram --port 0",
        "twin bitget --port 0",
    ],
    ids=lambda verb: verb.split()[0] + verb.split()[1].replace("--", "-"),
)
def test_others_end_in_time_while_nobody_answers_them(tmp_path: Path, verb: str) -> None:
    with silent_host() as host:
        arguments = [word.replace("HOST", host) for word in verb.split()]
        process = subprocess.Popen(
            command(*arguments), cwd=tmp_path, env=environment(),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            time.sleep(1.5)  # Some are still importing, some wait already: both must end.
            assert ended_s(process) < stretched(ENDS_S_MAX)
        finally:
            process.kill()
            process.communicate()
    assert process.returncode in (0, -signal.SIGTERM)


@pytest.mark.parametrize("after_s", [0.05, 0.2, 0.4, 0.8])
def test_an_engine_that_is_still_coming_up_ends_in_time(tmp_path: Path, after_s: float) -> None:
    with running(tmp_path, "run", *MARKET, begun_s=after_s) as process:
        assert ended_s(process) < stretched(ENDS_S_MAX)
        assert process.returncode in (0, -signal.SIGTERM)
    assert "Traceback" not in (tmp_path / "stderr.txt").read_text()


DROPPED = """
import signal, sys, weakref
from papertape.cli.__main__ import main
from papertape.cli.environment.early_signals import exit_on_signals

class Thing:
    pass

def send_signal(_):
    signal.raise_signal(int(number))

def at_start(frame, event, _):
    if event == "call" and frame.f_code.co_name == function:
        sys.setprofile(None)
        thing = Thing()
        reference = weakref.ref(thing, send_signal)
        del thing

number, function = sys.argv.pop(1), sys.argv.pop(1)
exit_on_signals([signal.SIGTERM], lambda number: 128 + number)  # As the first process of a container does.
sys.setprofile(at_start)
main()
"""
DROPPED_IN = {
    "run": ("_run_engine", ["run", *MARKET], {0}),
    "ui": ("_serve", ["ui", "--db", "log.db", "--port", "0"], {0, 143}),
    "twin-bitget": ("_serve", ["twin", "bitget", "--port", "0"], {0, 143}),
    "twin-telegram": ("_serve", ["twin", "telegram", "--port", "0"], {0, 143}),
    "up": ("run_supervised", ["up", "--port", "0", *MARKET], {0, 143}),
}


@pytest.mark.parametrize("case", DROPPED_IN)
def test_a_signal_whose_exception_python_drops_ends_a_service_all_the_same(tmp_path: Path, case: str) -> None:
    """Every import runs a weak reference's callback, which drops exceptions."""
    function, arguments, codes = DROPPED_IN[case]
    if case != "run":
        assert papertape(tmp_path, "run", *MARKET[:2], "--db", "log.db", "--until-end", "--set", "feed.sim.days=1",
                         "feed.sim.symbols=BTCUSDT").returncode == 0  # fmt: skip
    done = run_with_dropped_signal(tmp_path, signal.SIGTERM, function, *arguments)
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode in codes


def test_a_ctrl_c_that_python_drops_ends_a_command_quietly(tmp_path: Path) -> None:
    arguments = ("sample", "market", "--days", "3000")  # It takes minutes.
    done = run_with_dropped_signal(tmp_path, signal.SIGINT, "write_sample", *arguments)
    assert (done.returncode, done.stderr) == (INTERRUPTED, "")


def run_with_dropped_signal(
    folder: Path, number: int, function: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run a command that gets a signal where Python drops the handler's exception, at the start of a function."""
    return subprocess.run(
        [sys.executable, "-c", DROPPED, str(number), function, *arguments], cwd=folder, env=environment(),
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip


STUCK = """
import asyncio, time
from papertape.cli.environment.tasks import leave_within, run_tasks

async def main() -> None:
    looking = asyncio.ensure_future(asyncio.to_thread(time.sleep, 300))
    await asyncio.sleep(0.1)
    leave_within(0.3)
    looking.cancel()

run_tasks(main, quick=True)
"""


def test_a_thread_that_nobody_can_stop_does_not_hold_up_an_end() -> None:
    done = subprocess.run([sys.executable, "-c", STUCK], env=environment(), timeout=PATIENCE_S, check=False)
    assert done.returncode == 0


@pytest.mark.skipif(UNSHARE is None or os.getuid() != 0, reason="needs a namespace of its own for processes")
def test_the_first_process_of_a_container_heeds_it_too(tmp_path: Path) -> None:
    with silent_host() as host:
        there = ("download", "--symbol", "BTCUSDT", "--from", "2025-01-01", "--to", "2025-02-01", "--rest-url")
        process = subprocess.Popen(
            [str(UNSHARE), "--pid", "--fork", "--kill-child", *command(*there, f"http://{host}")],
            cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            wait_for(lambda: "http://" in _first_child(process.pid))
            wait_for(lambda: _handles_sigterm(children(process.pid)[0]))  # The system keeps one from it before.
            os.kill(children(process.pid)[0], signal.SIGTERM)
            process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
            process.communicate()
    assert process.returncode == 128 + signal.SIGTERM


def _handles_sigterm(pid: int) -> bool:
    """Return whether a process has a handler for SIGTERM."""
    status = Path(f"/proc/{pid}/status").read_text()
    handled = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(handled >> (signal.SIGTERM - 1) & 1)


def _first_child(pid: int) -> str:
    """Return the command line of a process's first child."""
    found = children(pid)
    return Path(f"/proc/{found[0]}/cmdline").read_text() if found else ""


# ---------------------------------------------------------------- no coroutine is left behind


@pytest.mark.parametrize(
    "arguments",
    [
        (*MARKET, "telegram.api_url=nonsense"),
        (*MARKET[:5], "stderr.txt/x.db"),
        ("--feed", "file", "--candles", "X=nowhere.csv", "--db", "log.db"),
        ("--feed", "bitget", "--db", "log.db", "--set", "feed.bitget.rest_url=ftp://x"),
    ],
    ids=["chat", "folder", "file", "address"],
)
def test_a_start_that_fails_leaves_no_coroutine_behind(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "log.db.sock").mkdir()  # The door cannot be opened either.
    with (tmp_path / "stderr.txt").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-X", "dev", *command("run", *arguments)[1:]],
            cwd=tmp_path, env=environment(**BOT), stdout=subprocess.DEVNULL, stderr=errors,
        )  # fmt: skip
    try:
        process.wait(3.0)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)
    said = (tmp_path / "stderr.txt").read_text()
    assert "never awaited" not in said
    assert "Traceback" not in said


def test_a_system_without_descriptors_leaves_no_coroutine_behind(tmp_path: Path) -> None:
    arguments = [
        "sh",
        "-c",
        'ulimit -n 7; exec "$@"',
        "sh",
        sys.executable,
        "-X",
        "dev",
        "-m",
        "papertape",
        "run",
        *MARKET,
    ]
    done = subprocess.run(
        arguments, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode != 0
    assert "never awaited" not in done.stderr
    assert papertape(tmp_path, "strategies").returncode == 0
