"""The supervisor's messages to systemd on a real datagram socket, and the unit file."""

from __future__ import annotations

import configparser
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from papertape.cli.keeper.systemd import SystemdNotifier
from tests.cli.test_process_supervisor import STAYS, keeping, life, wait_for
from tests.cli.test_up import children
from tests.engine.processes import command, environment
from tests.patience import PATIENCE_S
from tests.support import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.system

UNIT = REPOSITORY / "deploy" / "papertape.service"


class Manager:
    """systemd's end of the socket."""

    def __init__(self, at: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(at)
        self.socket.settimeout(PATIENCE_S)

    def next(self) -> str:
        """Wait for the next message and return it."""
        return self.socket.recv(2_048).decode()

    def until(self, word: str) -> list[str]:
        """Return the messages before the next one that begins with a text."""
        deadline, before = time.monotonic() + PATIENCE_S, []
        while not (said := self.next()).startswith(word):
            assert time.monotonic() < deadline, f"{word} never came"
            before.append(said)
        return before

    def is_silent_for(self, seconds: float) -> bool:
        """Return whether no further message arrives."""
        time.sleep(0.5)
        self.socket.setblocking(False)
        try:
            while True:
                self.next()
        except BlockingIOError:
            self.socket.settimeout(seconds)
        try:
            self.next()
        except TimeoutError:
            return True
        return False


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    at = str(tmp_path / "notify.sock")
    made = Manager(at)
    monkeypatch.setenv("NOTIFY_SOCKET", at)
    monkeypatch.setenv("WATCHDOG_USEC", "600000")
    yield made
    made.socket.close()


def test_ready_when_the_engine_is_up_then_signs_of_life_then_the_end(tmp_path: Path, manager: Manager) -> None:
    with keeping(tmp_path, f"sleep 0.5; touch engine.up; {STAYS}") as keeper:
        life(tmp_path, "engine", 1)
        assert set(manager.until("READY=1")) <= {"WATCHDOG=1"}
        assert [manager.next() for _ in range(10)] == ["WATCHDOG=1"] * 10, "ready is said once"
        keeper.send_signal(signal.SIGTERM)
        manager.until("STOPPING=1")
        assert keeper.wait(PATIENCE_S) == 0


def test_no_sign_of_life_and_a_status_where_an_engine_fails_again_and_again(tmp_path: Path, manager: Manager) -> None:
    (tmp_path / "engine.up").touch()
    with keeping(tmp_path, "exit 1") as keeper:
        manager.until("STATUS=the engine exited with 1; restarting it until it stays up")
        assert keeper.stdout is not None
        wait_for(lambda: "as long as it takes" in keeper.stdout.readline())  # type: ignore[union-attr]
        assert manager.is_silent_for(1.5)


def test_a_page_that_fails_again_and_again_is_no_reason_to_end_an_engine(tmp_path: Path, manager: Manager) -> None:
    (tmp_path / "engine.up").touch()
    with keeping(tmp_path, STAYS, "exit 1"):
        manager.until("READY=1")
        life(tmp_path, "web", 5)
        assert not manager.is_silent_for(1.5)


def test_what_no_restart_mends_is_no_reason_for_one(tmp_path: Path, manager: Manager) -> None:
    """The page continues to show the reason."""
    (tmp_path / "engine.up").touch()
    with keeping(tmp_path, "exit 4"):
        manager.until("READY=1")
        life(tmp_path, "engine", 1)
        assert not manager.is_silent_for(1.5)


def test_a_real_engine_is_ready_and_its_children_know_nothing_of_systemd(tmp_path: Path, manager: Manager) -> None:
    options = ("--feed", "sim", "--speed", "60", "--db", "log.db", "--port", "0", "--json")
    with subprocess.Popen(
        command("up", *options), cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as keeper:
        try:
            manager.until("READY=1")
            of_children = [Path(f"/proc/{pid}/environ").read_bytes() for pid in children(keeper.pid)]
            assert len(of_children) == 2, (tmp_path / "logs" / "keeper.log").read_text()
            assert not any(b"NOTIFY_SOCKET" in one or b"WATCHDOG" in one for one in of_children)
            wait_for((tmp_path / "logs" / "page.log").exists)
        finally:
            keeper.send_signal(signal.SIGTERM)
        manager.until("STOPPING=1")
    kept = (tmp_path / "logs").iterdir()
    assert {path.name for path in kept} >= {"engine.log", "page.log", "keeper.log"}


def test_without_systemd_nothing_is_asked_and_the_keeper_sleeps() -> None:
    asked: list[int] = []

    def is_up() -> bool:
        asked.append(1)
        return False

    silent = SystemdNotifier({}, is_up)
    silent.update(lives=True)
    silent.stopping()
    assert (asked, silent.interval_s) == ([], 60.0)


def test_an_abstract_socket_and_a_watchdog_that_means_another() -> None:
    name = f"papertape-{os.getpid()}"
    manager = Manager(f"\0{name}")
    variables = {"NOTIFY_SOCKET": f"@{name}", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}
    told = SystemdNotifier(variables, lambda: True)
    told.update(lives=True)
    told.stopping()
    assert [manager.next(), manager.next()] == ["READY=1", "STOPPING=1"]
    manager.socket.close()


def test_the_unit_as_systemd_reads_it(tmp_path: Path) -> None:
    read = configparser.RawConfigParser(strict=False)
    read.optionxform = str  # type: ignore[assignment,method-assign]
    read.read_string(UNIT.read_text())
    service = read["Service"]
    assert (service["Type"], service["NotifyAccess"], service["Restart"]) == ("notify", "main", "always")
    assert read["Unit"]["StartLimitIntervalSec"] == "0", "five failed starts must not be the last ones"
    assert "RestartPreventExitStatus" not in service
    assert service["OOMPolicy"] == "continue", "a page that was killed for its memory must not end the engine"
    assert service["Environment"] == "PAPERTAPE_FEED=live"
    assert "up --feed ${PAPERTAPE_FEED} " in service["ExecStart"], "the environment file may name another market"
    assert read["Install"]["WantedBy"] == "multi-user.target"
    assert float(service["TimeoutStopSec"]) > 8.0
    for name in ("NoNewPrivileges", "PrivateTmp", "PrivateDevices", "ProtectHome", "LockPersonality"):
        assert service[name] == "yes", name
    assert service["ProtectSystem"] == "strict"
    if shutil.which("systemd-analyze") is None:
        pytest.skip("THE UNIT IS NOT VERIFIED: this machine has no systemd-analyze")
    here = tmp_path / "papertape.service"
    here.write_text(UNIT.read_text().replace("/opt/papertape/.venv/bin/papertape", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", str(here)], capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "papertape" in line]) == (0, [])
