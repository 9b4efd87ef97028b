"""The page of `papertape up`: available while the engine is down, and never refused."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from contextlib import ExitStack
from secrets import token_urlsafe
from typing import TYPE_CHECKING

import httpx
import pytest

from papertape.api.listener import listen
from papertape.cli.service.up import _serves
from papertape.events.head_file import LogLock
from tests.cli.test_process_supervisor import is_alive, wait_for
from tests.cli.test_up import UP, child_named
from tests.cli.written_log import write_log
from tests.engine.processes import command, environment, running
from tests.patience import PATIENCE_S, stretched

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

DISK_BYTES = 150_000
"""The log begins, and is full within a second."""
IDLE = ("--set", "feed.sim.days=1", "feed.sim.symbols=BTCUSDT", "feed.sim.warm_up_days=0")


def address(process: subprocess.Popen[str]) -> str:
    """Return the page's address from the first line."""
    assert process.stdout is not None
    return process.stdout.readline().split()[1].partition("/login")[0]


def get(url: str) -> httpx.Response:
    """Send one request on a new connection."""
    return httpx.get(url, timeout=PATIENCE_S)


def test_who_comes_while_the_page_starts_or_starts_again_waits_and_is_answered(tmp_path: Path) -> None:
    with running(tmp_path, *UP, *IDLE) as keeper:
        url = address(keeper)
        assert get(f"{url}/live").json() == {"live": True}
        for _ in range(2):
            page = child_named(keeper.pid, "ui")
            os.kill(page, signal.SIGKILL)
            wait_for(lambda: not is_alive(page))  # noqa: B023 - called at once.
            assert get(f"{url}/live").status_code == 200
        assert "papertape" in get(f"{url}/").text


def test_the_page_waits_for_the_log_whose_file_an_engine_has_just_made(tmp_path: Path) -> None:
    (tmp_path / "log.db").touch()
    kept = {"PAPERTAPE_KEEPER": str(os.getpid())}
    with running(tmp_path, "ui", "--db", "log.db", "--port", "0", variables=kept) as page:
        url = address(page)
        assert get(f"{url}/api/v1/status").json()["head_seq"] == 0
        with running(tmp_path, *("run", *UP[1:5], "--json"), until="EngineStarted"):
            wait_for(lambda: get(f"{url}/api/v1/status").json().get("head_seq", 0) > 0)


def test_the_page_shows_a_log_that_another_engine_holds(tmp_path: Path) -> None:
    other = ("run", *UP[1:5], "--json")
    with running(tmp_path, *other, until="EngineStarted"), running(tmp_path, *UP) as keeper:
        url = address(keeper)
        assert keeper.stdout is not None
        said = [keeper.stdout.readline() for _ in range(2)][-1]
        assert said.startswith("papertape: the engine exited with 3: another engine holds ")
        assert "restarting it in 0.25 s" in said, "the other one may leave at any time"
        wait_for(lambda: get(f"{url}/").status_code == 200)
        wait_for(lambda: get(f"{url}/ready").status_code == 200)  # The other engine trades.
        started = time.monotonic()
        keeper.send_signal(signal.SIGTERM)
        assert keeper.wait(PATIENCE_S) in (0, 3)  # As it was just being tried, or between two tries.
        assert time.monotonic() - started < stretched(2.5)


def test_a_full_disk_is_outlived_and_the_page_says_why_the_engine_is_down(tmp_path: Path) -> None:
    """A limit of the file size stands for a full disk; lifting it frees space."""
    full = (DISK_BYTES, resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    options = (*UP, "--set", "logs.folder=")

    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, full)

    with subprocess.Popen(
        command(*options), cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, preexec_fn=small_disk,  # noqa: PLW1509 - no thread runs here.
    ) as keeper:  # fmt: skip
        try:
            url = address(keeper)
            assert keeper.stdout is not None
            for line in keeper.stdout:
                if "it is retried as long as it takes" in line:
                    break
            wait_for(lambda: get(f"{url}/ready").status_code == 503)
            [reason] = get(f"{url}/ready").json()["reasons"]
            assert reason["code"] == "stopped_by_fault"
            assert reason["text"].startswith("the engine exited with 1: ")
            assert get(f"{url}/").status_code == 200
            resource.prlimit(keeper.pid, resource.RLIMIT_FSIZE, (full[1], full[1]))
            wait_for(lambda: get(f"{url}/ready").status_code == 200)
        finally:
            keeper.send_signal(signal.SIGTERM)
            keeper.communicate(timeout=PATIENCE_S)


def test_a_page_that_hangs_answers_nothing_and_one_that_serves_does(tmp_path: Path) -> None:
    write_log(tmp_path / "log.db")
    with listen("127.0.0.1", 0) as handed:
        assert not _serves(handed), "the system takes the connection all the same"
        options = ("ui", "--db", "log.db")
        with subprocess.Popen(
            command(*options), cwd=tmp_path, env=environment(PAPERTAPE_LISTEN_FD=str(handed.fileno())),
            stdout=subprocess.DEVNULL, pass_fds=[handed.fileno()],
        ) as page:  # fmt: skip
            try:
                wait_for(lambda: _serves(handed))
                page.send_signal(signal.SIGSTOP)
                assert not _serves(handed)
                page.send_signal(signal.SIGCONT)
                wait_for(lambda: _serves(handed))
            finally:
                page.kill()


def test_an_engine_waits_for_the_one_that_is_leaving_the_log_because_its_keeper_was_killed(tmp_path: Path) -> None:
    kept = {"PAPERTAPE_KEEPER": str(os.getpid())}
    with ExitStack() as leaver:
        leaver.enter_context(LogLock(tmp_path / "log.db"))  # Nobody answers at the door any more.
        with running(tmp_path, "run", *UP[1:5], "--json", variables=kept) as engine:
            said = tmp_path / "stderr.txt"
            wait_for(lambda: "to release log.db" in said.read_text() or not is_alive(engine.pid))
            leaver.close()
            assert engine.stdout is not None
            assert "EngineStarted" in engine.stdout.readline()


def test_the_page_of_a_recorded_market_knows_that_nothing_may_be_crashed(tmp_path: Path) -> None:
    file = tmp_path / "X_1m.csv"
    rows = "".join(f"{1735689600000 + 60_000 * n},100,101,99,100,1\n" for n in range(20))
    file.write_text(f"open_time_ms,open,high,low,close,volume\n{rows}")
    with running(tmp_path, "up", "--candles", f"X={file}", "--speed", "max", "--db", "log.db", "--port", "0") as keeper:
        url = address(keeper)
        wait_for(lambda: get(f"{url}/api/v1/status").json().get("head_seq", 0) >= 20)
        assert get(f"{url}/api/v1/status").json()["simulated"] is False
        assert "Crash the engine" not in get(f"{url}/").text


def test_no_file_and_no_line_holds_the_token_that_was_used_or_misused(tmp_path: Path) -> None:
    token, wrong = token_urlsafe(32), token_urlsafe(32)
    said = ("--set", f"logs.folder={tmp_path}/logs", "--set", "logs.levels.page=debug")
    with running(tmp_path, *UP, *IDLE, *said, variables={"PAPERTAPE_TOKEN": token}) as keeper:
        url = address(keeper)
        right = {"Authorization": f"Bearer {token}"}
        wait_for(lambda: httpx.get(f"{url}/api/v1/status", headers=right, timeout=PATIENCE_S).status_code == 200)
        for one in (token, wrong):
            bearer, cookie = {"Authorization": f"Bearer {one}"}, {"Cookie": f"papertape={one}"}
            assert httpx.get(f"{url}/api/v1/status?token={one}", headers=bearer, timeout=PATIENCE_S).is_error == (
                one == wrong
            )
            httpx.get(f"{url}/events?q={one}", headers=cookie, timeout=PATIENCE_S)
            form = {"token": one}
            httpx.post(f"{url}/login", data=form, headers={"Origin": url}, timeout=PATIENCE_S)
            httpx.post(f"{url}/api/v1/pause", json={"why": one}, headers={"Origin": url}, timeout=PATIENCE_S)
        keeper.send_signal(signal.SIGTERM)
        out, _ = keeper.communicate(timeout=PATIENCE_S)
    files = [one for one in tmp_path.rglob("*") if one.is_file()]
    assert {"page.log", "keeper.log", "stderr.txt"} <= {one.name for one in files}
    for text in (out.encode(), *(one.read_bytes() for one in files)):
        assert token.encode() not in text
        assert wrong.encode() not in text


def test_the_printed_address_logs_in_once_and_no_log_shows_its_token(tmp_path: Path) -> None:
    logs = ("--set", f"logs.folder={tmp_path}/logs", "logs.levels.page=debug", "logs.levels.keeper=debug")
    with running(tmp_path, *UP, *IDLE, *logs) as keeper:
        assert keeper.stdout is not None
        printed = keeper.stdout.readline().split()[1]
        url, _, token = printed.partition("/login?token=")
        wait_for(lambda: get(f"{url}/ready").status_code == 200)
        with httpx.Client(timeout=PATIENCE_S, follow_redirects=True) as browser:
            entered = browser.get(printed)
            assert (entered.status_code, str(entered.url)) == (200, f"{url}/")
            assert 'action="/logout"' in entered.text
            kill = {"actor": "anna", "reason": "it is my engine"}
            assert browser.post(f"{url}/api/v1/commands/kill", json=kill, headers={"origin": url}).status_code == 200
            assert 'action="/logout"' not in get(url).text, "another browser is not logged in"
            page = child_named(keeper.pid, "ui")
            os.kill(page, signal.SIGKILL)
            wait_for(lambda: not is_alive(page))
            cookies = dict(browser.cookies)
        kept = httpx.get(f"{url}/risk", cookies=cookies, timeout=PATIENCE_S)
        assert 'action="/logout"' in kept.text, "the cookie outlives the page"
        again = get(printed)
        assert (again.status_code, again.headers["location"]) == (303, "/login?refused=link")
        keeper.send_signal(signal.SIGTERM)
        rest, _ = keeper.communicate(timeout=PATIENCE_S)
    written = [path for path in tmp_path.rglob("*") if path.is_file() and token.encode() in path.read_bytes()]
    assert (written, token in rest, len(token) >= 43) == ([], False, True)
    assert list((tmp_path / "logs").iterdir()), "there are logs in which it could be"
