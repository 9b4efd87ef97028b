"""`papertape ui` as a process: what it serves and refuses, how it ends, and how it works beside an engine."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from papertape.api.token import new_token
from papertape.cli.service.unlogged_messages import UnloggedMessages, unlogged_path
from papertape.events.facts import KillSwitchTripped
from tests.cli.test_process_supervisor import wait_for
from tests.cli.written_log import HEAD, write_log
from tests.engine.logs import of_type
from tests.engine.processes import ROOT, ended_s, environment, ok, papertape, running
from tests.patience import PATIENCE_S, stretched

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.system

STREAMS = 100
ENDS_S_MAX = 2.0
get, post = partial(httpx.get, timeout=PATIENCE_S), partial(httpx.post, timeout=PATIENCE_S)
URL = re.compile(r"papertape: (http://[^/\s]+)(?:/login\?token=(\S+))?")
MADE = re.compile(r"commands need this token: (\S+)\n")
SIM = (
    "run", "--feed", "sim", "--speed", "600", "--db", "log.db",
    "--set", "feed.sim.warm_up_days=0", "feed.sim.symbols=BTCUSDT,ETHUSDT",
)  # fmt: skip


@contextmanager
def serving(folder: Path, *arguments: str, **variables: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the process; yield it and its address as soon as it answers."""
    with running(folder, "ui", "--port", "0", *arguments, variables=variables) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = URL.match(line)
        assert found, (line, (folder / "stderr.txt").read_text())
        wait_until(lambda: answers(f"{found[1]}/live"))
        yield process, found[1]


def answers(url: str) -> bool:
    """Return whether a server answers."""
    try:
        return get(url).status_code == 200
    except httpx.TransportError:
        return False


def wait_until(holds: Any, seconds: float = PATIENCE_S) -> None:
    """Wait until a condition holds."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it never was"
        time.sleep(0.05)


def seq_of(url: str) -> int:
    """Return the seq of the views; 0 during the first fold."""
    answer = get(f"{url}/api/v1/status")
    seq: int = answer.json()["as_of"]["seq"] if answer.status_code == 200 else 0
    return seq


def test_a_log_is_served_and_left_as_it_was(tmp_path: Path) -> None:
    log = write_log(tmp_path / "small.db")
    content = log.read_bytes()
    with serving(tmp_path, "--db", "small.db") as (process, url):
        wait_until(lambda: seq_of(url) == HEAD)
        shown = json.loads(ok(tmp_path, "arena", "--db", "small.db", "--json"))
        assert get(f"{url}/api/v1/arena").json()["data"] == shown
        csv = ok(tmp_path, "trades", "--db", "small.db", "--csv", "-")
        assert get(f"{url}/api/v1/trades.csv").text == csv
        assert get(f"{url}/ready").json()["reasons"][0]["code"] == "stopped_by_fault"
        assert process.stdout is not None
        token = MADE.match(process.stdout.readline())
        assert token
        body = {"actor": "anna", "reason": "test"}
        headers = {"authorization": f"Bearer {token[1]}"}
        assert post(f"{url}/api/v1/commands/kill", json=body, headers=headers).status_code == 503
        assert ended_s(process, signal.SIGTERM) < stretched(ENDS_S_MAX)
        assert process.returncode == 0
    assert log.read_bytes() == content


def test_messages_are_those_of_the_log_its_configuration_and_the_file_beside_it(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.db")
    UnloggedMessages(unlogged_path(log)).change(
        lambda before: (
            before.with_note(1, "5 events replayed in 1 ms")
            .with_beat(HEAD, 1, "<b>a beat</b>")
            .with_fault(HEAD, 2, "a fault", silent=False)
        )
    )
    with serving(tmp_path, "--db", "log.db", "--set", "alerts.pause=off") as (_, url):
        wait_until(lambda: seq_of(url) == HEAD)
        told = get(f"{url}/api/v1/messages").json()["data"]
        page = get(f"{url}/messages").text
    assert [one["kind"] for one in told] == ["fault", "heartbeat", "kill_switch", "exit", "entry", "start"]
    assert "5 events replayed in 1 ms" in told[-1]["text"]
    assert "<b>a beat</b>" in page and told[1]["text"] == "a beat"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_within_two_seconds_with_a_hundred_open_streams(tmp_path: Path, number: signal.Signals) -> None:
    write_log(tmp_path / "small.db")
    with serving(tmp_path, "--db", "small.db") as (process, url), ExitStack() as stack:
        wait_until(lambda: get(f"{url}/api/v1/status").status_code == 200)
        host, _, port = url.removeprefix("http://").partition(":")
        for at in range(STREAMS):
            stream = stack.enter_context(socket.create_connection((host, int(port)), timeout=PATIENCE_S))
            path = "/api/v1/stream?after_seq=0" if at % 2 else "/api/v1/ws"
            upgrade = (
                ""
                if at % 2
                else (
                    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                )
            )
            stream.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n{upgrade}\r\n".encode())
            assert stream.recv(12) in (b"HTTP/1.1 200", b"HTTP/1.1 101")
        wait_until(lambda: get(f"{url}/health").json()["web"]["streams_open"] == STREAMS)
        assert ended_s(process, number) < stretched(ENDS_S_MAX)
        assert process.returncode == 0


def test_of_a_thousand_clients_the_configured_number_is_served(tmp_path: Path) -> None:
    write_log(tmp_path / "small.db")
    with serving(tmp_path, "--db", "small.db", "--set", "web.streams_max=300") as (process, url):
        wait_until(lambda: get(f"{url}/api/v1/status").status_code == 200)
        host, _, port = url.removeprefix("http://").partition(":")
        command = [sys.executable, "-m", "benchmarks.programs.web_clients", host, port, "1000"]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, cwd=ROOT, env=environment(), **pipes) as crowd:
            assert crowd.stdout is not None
            assert json.loads(crowd.stdout.readline()) == {"served": 300, "refused": 700, "others": 0}
            assert get(f"{url}/api/v1/arena").status_code == 200, "reading goes on"
            crowd.communicate()
        wait_until(lambda: get(f"{url}/health").json()["web"]["streams_open"] == 0)
        assert ended_s(process, signal.SIGTERM) < stretched(ENDS_S_MAX)


def test_a_public_address_needs_a_configured_token(tmp_path: Path) -> None:
    write_log(tmp_path / "small.db")
    refused = papertape(tmp_path, "ui", "--db", "small.db", "--host", "0.0.0.0", "--port", "0")
    assert refused.returncode == 4
    assert "papertape token" in refused.stderr
    weak = papertape(tmp_path, "ui", "--db", "small.db", "--port", "0", PAPERTAPE_TOKEN="hunter2hunter2")
    assert weak.returncode == 4
    assert "hunter2" not in weak.stderr
    token = new_token()
    (tmp_path / "token").write_text(token)
    (tmp_path / ".env").write_text("PAPERTAPE_TOKEN_FILE=token\n")
    with serving(tmp_path, "--db", "small.db", "--host", "0.0.0.0") as (_, url):
        assert get(f"{url}/api/v1/arena").status_code == 401
        bearer = {"authorization": f"Bearer {token}"}
        wait_for(lambda: get(f"{url}/api/v1/arena", headers=bearer).status_code == 200)
        assert get(f"{url}/live", headers={"host": "evil.example"}).status_code == 421


def test_an_unservable_log_is_refused_by_name(tmp_path: Path) -> None:
    missing = papertape(tmp_path, "ui", "--db", "none.db", "--port", "0")
    assert (missing.returncode, missing.stderr) == (2, "error: there is no log at none.db\n")
    write_log(tmp_path / "small.db")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = papertape(tmp_path, "ui", "--db", "small.db", "--port", port)
    assert refused.returncode == 1, "it may be free later: a service manager tries again"
    assert port in refused.stderr


def test_each_start_makes_its_own_token(tmp_path: Path) -> None:
    made = {ok(tmp_path, "token").strip() for _ in range(2)}
    assert len(made) == 2
    assert all(len(one) == 43 for one in made)


def test_beside_a_running_engine_it_follows_and_commands(tmp_path: Path) -> None:
    token = new_token()
    headers = {"authorization": f"Bearer {token}"}
    with running(tmp_path, *SIM, until="papertape: seq") as engine:
        reading = threading.Thread(target=engine.stdout.read if engine.stdout else print)
        reading.start()
        with (
            serving(tmp_path, "--db", "log.db", PAPERTAPE_TOKEN=token) as (_, url),
            httpx.Client(base_url=url, headers=headers, timeout=PATIENCE_S) as client,
        ):
            wait_until(lambda: client.get("/ready").status_code == 200)
            wait_until(lambda: client.get("/api/v1/status").status_code == 200)
            before = client.get("/api/v1/status").json()
            assert before["engine"]["pid"] == engine.pid
            wait_until(lambda: client.get("/api/v1/status").json()["as_of"]["seq"] > before["as_of"]["seq"])
            told = asyncio.run(first_of(url, headers))
            assert told["seq"] > before["as_of"]["seq"]
            body = {"actor": "anna", "reason": "looked at it", "scope": "momentum"}
            accepted = client.post("/api/v1/commands/kill", json=body).json()
            event = client.get(f"/api/v1/events/{accepted['first_seq']}").json()["data"]
            assert (event["type"], event["fields"]["who"]) == ("KillSwitchTripped", "anna")
            engine.kill()
            engine.wait()
            wait_until(lambda: codes(client) == ["stopped_by_fault"])
            assert client.get("/api/v1/arena").status_code == 200, "what there is can be looked at"
        reading.join()
    (trip,) = (one for one in of_type(tmp_path / "log.db", KillSwitchTripped) if getattr(one, "reason", "") == "manual")
    assert getattr(trip, "why", "") == "looked at it"


def codes(client: httpx.Client) -> list[str]:
    """Return the reasons why it is not ready."""
    return [one["code"] for one in client.get("/ready").json()["reasons"]]


async def first_of(url: str, headers: dict[str, str]) -> dict[str, Any]:
    """Return the first event of a live stream."""
    async with (
        httpx.AsyncClient(base_url=url, headers=headers, timeout=PATIENCE_S) as client,
        client.stream("GET", "/api/v1/stream") as response,
    ):
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                found: dict[str, Any] = json.loads(line[6:])
                return found
    raise AssertionError("the stream ended")


def test_a_backtest_shows_no_other_configuration_and_no_engine_to_crash(tmp_path: Path) -> None:
    lines = [f"{1735689600000 + 60_000 * at},100,{101 + at % 37},{99 - at % 41},{100 + at % 2},1" for at in range(500)]
    (tmp_path / "x.csv").write_text("\n".join(["open_time_ms,open,high,low,close,volume", *lines, ""]))
    ok(tmp_path, "backtest", "--candles", "XUSDT=x.csv", "--strategy", "momentum", "--db", "backtest.db",
       "--engine", "python")  # fmt: skip
    with serving(tmp_path, "--db", "backtest.db") as (_, url):
        wait_until(lambda: "backtest ended" in get(f"{url}/ready").text)
        config = get(f"{url}/api/v1/config").json()["data"]
        assert (config["simulated"], config["commands_allowed"]) == (False, False)
        assert "seed" not in config["text"]
        chart = get(f"{url}/api/v1/candles/XUSDT?timeframe=5m&strategy=momentum").json()["data"]["chart"]
        drawn = {line["name"]: line["values"][-1] for line in chart["plot"]["lines"]}
        range_of = chart["candles"][-21:-1]
        assert drawn["highest"] == max(one["high"] for one in range_of)
        assert drawn["lowest"] == min(one["low"] for one in range_of)
        for address in ("/", "/system"):
            assert "Crash me" not in get(f"{url}{address}").text


def test_a_log_opened_by_hand_shows_the_configuration_of_its_engine_or_none(tmp_path: Path) -> None:
    sets = ("--set", "feed.kind=sim", "--set", "feed.sim.days=1", "--set", "feed.sim.seed=77",
            "--set", "feed.sim.symbols=BTCUSDT", "--set", "feed.sim.warm_up_days=0")  # fmt: skip
    ok(tmp_path, "run", *sets, "--speed", "max", "--until-end", "--db", "log.db")

    def shown(*arguments: str) -> str:
        with serving(tmp_path, "--db", "log.db", *arguments) as (_, url):
            wait_until(lambda: get(f"{url}/api/v1/arena").json().get("data"))
            page, text = get(f"{url}/system").text, get(f"{url}/api/v1/config").json()["data"]["text"]
            assert ("seed 77" in page) == ("seed 77" in text)
            assert ("not known here" in page) == ("not known here" in text)
            return str(text)

    assert "not known here" in shown()
    assert "seed 77" in shown(*sets, "--set", "feed.speed=0")
