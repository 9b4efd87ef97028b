"""The real programs: an engine with several channels, `doctor` and `config check`. No secret is ever shown."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from papertape.projections.notify.addresses import VARIABLE
from tests.engine.processes import command, environment
from tests.notify.receivers import HANGS, HttpReceiver
from tests.patience import PATIENCE_S, stretched

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytest.importorskip("apprise")
SECRET = "secret-of-the-path"


def url_of(service: HttpReceiver) -> str:
    return f"json://127.0.0.1:{service.port}/{SECRET}"


def wait_for(is_so: Callable[[], bool]) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < until_s, "it did not happen in time"
        time.sleep(0.05)


def run(folder: Path, urls: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        env=environment(**{VARIABLE: urls}),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.system
def test_an_engine_tells_one_channel_while_another_hangs_and_ends_in_time(tmp_path: Path) -> None:
    good, broken = HttpReceiver(), HttpReceiver()
    broken.manner = HANGS
    with (tmp_path / "said").open("wb") as said:
        engine = subprocess.Popen(
            command("run", "--feed", "sim", "--speed", "60", "--db", "log.db"),
            cwd=tmp_path, env=environment(**{VARIABLE: f"{url_of(broken)} {url_of(good)}"}), stdout=said, stderr=said,
        )  # fmt: skip
        try:
            wait_for(lambda: bool(good.messages) and broken.refused > 0)
            began_s = time.monotonic()
            engine.send_signal(signal.SIGTERM)
            assert engine.wait(PATIENCE_S) == 0
            took_s = time.monotonic() - began_s
        finally:
            engine.kill()
            for service in (good, broken):
                service.close()
    assert took_s < stretched(2.0)
    assert "started" in good.messages[0].partition("\n")[0]
    assert SECRET not in (tmp_path / "said").read_text()
    assert SECRET.encode() not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.system
def test_the_doctor_sends_a_test_message_on_request_and_names_what_fails(tmp_path: Path) -> None:
    good, broken = HttpReceiver(), HttpReceiver()
    broken.manner = 403
    done = run(tmp_path, f"{url_of(good)} {url_of(broken)} nonesuch://{SECRET}", "doctor", "--notify", "--json")
    for service in (good, broken):
        service.close()
    found = {one["text"]: one["level"] for one in json.loads(done.stdout) if one["name"] == "channels"}
    assert found == {
        "json 1: accepted a test message": "ok",
        "json 2: it answered 403": "fail",
        "nonesuch: Apprise does not know this address": "fail",
    }
    assert [text.partition("\n")[0] for text in good.messages] == ["papertape: a test message"]
    assert SECRET not in done.stdout + done.stderr


def test_a_configuration_check_refuses_an_address_that_apprise_does_not_know(tmp_path: Path) -> None:
    done = run(tmp_path, f"ntfy://localhost/x nonesuch://{SECRET}", "config", "check")
    assert done.returncode == 4
    assert f"{VARIABLE}: Apprise does not know the address of nonesuch" in done.stderr
    assert SECRET not in done.stdout + done.stderr
