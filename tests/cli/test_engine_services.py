"""A running engine informs its owner: the real program, against a stand-in for the Bot API."""

from __future__ import annotations

import json
import re
import resource
import signal
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from papertape.cli.service.unlogged_messages import UnloggedMessages
from papertape.projections.telegram.text import one_line
from tests.engine import processes
from tests.engine.processes import ROOT, command, environment, ok
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.system

RUN = (
    "run", "--feed", "sim", "--speed", "900", "--db", "log.db", "--set", "watchdog.every_s=1",
    "feed.sim.warm_up_days=1", "feed.sim.symbols=BTCUSDT",
)  # fmt: skip
TELEGRAM_REST_S = 2.0
"""After so long the chat takes the next message at once."""
STOPS_MAX = 8
"""A stop on a busy machine may have no time to be told."""


class Chat:
    """A stand-in for the Bot API as a process, whose output shows what it received."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self._file = folder / "chat.txt"
        self._process = process
        said = self.until(lambda text: "\n" in text).split()
        self.variables = dict(word.split("=", 1) for word in said if word.startswith("TELEGRAM_"))
        self.sets = [word for word in said if word.startswith("telegram.api_url=")]

    def text(self) -> str:
        """Return the output so far."""
        return self._file.read_text() if self._file.exists() else ""

    def type(self, line: str) -> None:
        """Write to the bot as its owner; `[Confirm]` presses the button."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()

    def until(self, holds: object) -> str:
        """Wait until the output satisfies a condition."""
        assert callable(holds)
        limit_s = time.monotonic() + PATIENCE_S
        while not holds(self.text()):
            assert time.monotonic() < limit_s, self.text()
            time.sleep(0.1)
        return self.text()


@contextmanager
def chat(folder: Path) -> Iterator[Chat]:
    serve = command("twin", "telegram", "--port", "0")
    with (folder / "chat.txt").open("wb") as out:
        process = subprocess.Popen(serve, cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=out)
    try:
        yield Chat(folder, process)
    finally:
        process.kill()
        process.wait()
        assert process.stdin is not None
        process.stdin.close()


def started(folder: Path, here: Chat, *sets: str) -> subprocess.Popen[str]:
    return engine_of(folder, *here.sets, *sets, **here.variables)


def engine_of(folder: Path, *sets: str, **variables: str) -> subprocess.Popen[str]:
    """Start an engine; what it says is in a file."""
    with (folder / "stderr.txt").open("ab") as errors:
        return processes.started(folder, *RUN, *sets, variables=environment(**variables), errors=errors, out=errors)


def taken(text: str) -> str:
    """Return what the stand-in accepted; a message that came too soon was refused and is sent again."""
    return "\n".join(line for line in text.splitlines() if line.startswith("200 "))


def test_starts_entries_exits_and_stops_arrive_once_also_after_a_kill(tmp_path: Path) -> None:
    with chat(tmp_path) as here:
        engine = started(tmp_path, here)
        here.until(lambda text: "papertape" in text and "opened" in text)
        engine.kill()
        engine.wait()
        engine = started(tmp_path, here)
        here.until(lambda text: text.count(" started") >= 2)
        engine.send_signal(signal.SIGTERM)
        assert engine.wait(PATIENCE_S) == 0, (tmp_path / "stderr.txt").read_text()
        engine = started(tmp_path, here)  # What a stop had no time for is told by the next start.
        text = taken(here.until(lambda text: " stopped" in taken(text) and taken(text).count(" started") >= 3))
        engine.send_signal(signal.SIGTERM)
        assert engine.wait(PATIENCE_S) == 0, (tmp_path / "stderr.txt").read_text()
    assert re.search(r"\d events replayed in \d+ ms", text), "what the log cannot know"
    ids = re.findall(r"<code>#(\d+)</code>", text)
    assert len(ids) <= len(set(ids)) + text.count("possible repeat"), "no alert comes twice unmarked"
    token = here.variables["TELEGRAM_BOT_TOKEN"]
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "chat.txt"]
    assert not any(token.encode() in content for content in written), "the token is nowhere"
    assert ok(tmp_path, "verify", "--db", "log.db")


def test_a_stop_is_told_at_once_and_leaves_the_next_start_nothing_to_fold(tmp_path: Path) -> None:
    with chat(tmp_path) as here:
        for number in range(1, STOPS_MAX + 1):
            engine = started(tmp_path, here, *QUIET)
            here.until(lambda text, number=number: text.count(" started") >= number)
            time.sleep(TELEGRAM_REST_S)
            engine.send_signal(signal.SIGTERM)
            assert engine.wait(PATIENCE_S) == 0, (tmp_path / "stderr.txt").read_text()
            if here.text().count(" stopped") == number:
                break
        else:
            raise AssertionError("no stop was told at once")
    kept = {path.parent.name for path in (tmp_path / "log.db.folds").rglob("*.checkpoints")}
    assert kept == {"alerts", "chat", "watchdog"}


ACTS = {
    "/pause momentum news at 14:30": ("Pause momentum?", "momentum paused by telegram:Ann: news at 14:30"),
    "/resume momentum": ("Resume momentum?", "momentum resumed by telegram:Ann: no reason given"),
    "/kill odd <prices>": ("STOP ALL STRATEGIES?", "tripped by telegram:Ann at an equity of"),
    "/reset global it was a drill": ("Reset ALL STRATEGIES?", "all strategies reset by telegram:Ann: it was a drill"),
}
QUIET = [part for kind in ("entry", "exit", "feed", "anomaly") for part in ("--set", f"alerts.{kind}=off")]


def test_what_is_asked_and_confirmed_in_the_chat_is_in_the_log_with_who_and_why(tmp_path: Path) -> None:
    with chat(tmp_path) as here:
        engine = started(tmp_path, here, *QUIET)
        here.until(lambda text: " started" in text)
        for number, (said, (asked, _)) in enumerate(ACTS.items(), 1):
            here.type(said)
            here.until(lambda text, asked=asked: f"{asked}</b>" in text)
            here.type("[Confirm]")
            here.until(lambda text, number=number: text.count("✓ accepted: event") == number)
        here.until(lambda text: "ALL STRATEGIES STOPPED" in text and "ALL STRATEGIES RESET" in text)
        here.type("[Nothing]")
        here.until(lambda text: "there is no button [Nothing]" in text)
        engine.send_signal(signal.SIGTERM)
        assert engine.wait(PATIENCE_S) == 0, (tmp_path / "stderr.txt").read_text()
    for kind, (_, words) in zip(KINDS, ACTS.values(), strict=True):
        assert words in ok(tmp_path, "log", "--db", "log.db", "--type", kind)


KINDS = ("RunnerPaused", "RunnerResumed", "KillSwitchTripped", "KillSwitchReset")


def an_entry(folder: Path) -> int:
    """Wait for an entry order of the running engine, and return its seq."""
    limit_s = time.monotonic() + PATIENCE_S
    while True:
        orders = ok(folder, "log", "--db", "log.db", "--type", "OrderPlaced", "--limit", "9", "--json").splitlines()
        for order in map(json.loads, orders):
            if order["action"] == "entry":
                return int(order["seq"])
        assert time.monotonic() < limit_s
        time.sleep(0.5)


def test_why_and_whynot_of_a_running_engine_show_conditions(tmp_path: Path) -> None:
    with chat(tmp_path) as here:
        engine = started(tmp_path, here, *QUIET)
        here.until(lambda text: " started" in text)
        here.type(f"/why {an_entry(tmp_path)}")
        here.until(lambda text: re.search(r"order: (?:buy|sell) [^#]* [✓✗] [^:#]+: ", text))
        here.type("/whynot BTCUSDT")
        here.until(lambda text: re.search(r"\d of \d conditions met .* [✓✗] [^:]+: ", text))
        engine.kill()
        engine.wait()


def test_a_bad_token_is_a_configuration_error_that_does_not_show_it(tmp_path: Path) -> None:
    secret = "no-token-at-all"
    done = processes.papertape(tmp_path, *RUN, TELEGRAM_BOT_TOKEN=secret, TELEGRAM_CHAT_ID="1")
    assert done.returncode == 4
    assert "TELEGRAM_BOT_TOKEN" in done.stderr
    assert secret not in done.stderr + done.stdout


def test_without_a_token_alerts_go_to_a_file_beside_the_log(tmp_path: Path) -> None:
    engine = engine_of(tmp_path)
    file = tmp_path / "log.db.alerts.log"
    limit_s = time.monotonic() + PATIENCE_S
    while not (file.exists() and "opened" in file.read_text()):
        assert time.monotonic() < limit_s
        time.sleep(0.1)
    engine.send_signal(signal.SIGTERM)
    assert engine.wait(PATIENCE_S) == 0
    assert "papertape 0.1.0 started" in file.read_text()
    lines = (tmp_path / "logs" / "engine.log").read_text().splitlines()
    assert any("papertape.chat" in line and "papertape 0.1.0 started" in line for line in lines), (
        "the program's own log"
    )
    (note,) = UnloggedMessages(tmp_path / "log.db.told").read().notes.values()
    assert note in file.read_text()


@pytest.mark.slow
def test_a_heartbeat_is_kept_for_the_page_and_stands_in_the_file(tmp_path: Path) -> None:
    """The shortest interval is a minute."""
    engine = engine_of(tmp_path, HEARTBEAT_INTERVAL="60")
    limit_s, told = time.monotonic() + PATIENCE_S, UnloggedMessages(tmp_path / "log.db.told")
    while (beat := told.read().heartbeat) is None:
        assert time.monotonic() < limit_s
        time.sleep(0.2)
    engine.send_signal(signal.SIGTERM)
    assert engine.wait(PATIENCE_S) == 0
    assert one_line(beat.html) in (tmp_path / "log.db.alerts.log").read_text()


def fails_to_write(engine: subprocess.Popen[str], file_bytes_max: int = 0) -> None:
    """Limit the size of the process's files, so that the disk seems full or missing."""
    resource.prlimit(engine.pid, resource.RLIMIT_FSIZE, (file_bytes_max, file_bytes_max))
    assert engine.wait(PATIENCE_S) not in (0, None)


def test_an_engine_that_a_fault_stops_says_so_and_the_next_start_too(tmp_path: Path) -> None:
    with chat(tmp_path) as here:
        engine = started(tmp_path, here)
        here.until(lambda text: "opened" in text)
        fails_to_write(engine, 50_000)
        text = here.until(lambda text: "STOPPED BY A FAULT" in text)
        (fault,) = UnloggedMessages(tmp_path / "log.db.told").read().faults
        assert "LogWriteFailed" in fault.text
        assert "LogWriteFailed" in text
        assert "the log is intact up to the event below" in text
        engine = started(tmp_path, here)
        here.until(lambda text: "the previous run did not shut down cleanly" in text)
        engine.send_signal(signal.SIGTERM)
        assert engine.wait(PATIENCE_S) == 0
    (told,) = re.findall(r"STOPPED BY A FAULT.*?<code>#(\d+)</code>", text, re.DOTALL)
    assert ok(tmp_path, "verify", "--db", "log.db")
    assert int(told) > 0


def test_a_fault_is_told_as_loud_as_it_is_asked_for(tmp_path: Path) -> None:
    with chat(tmp_path) as here:
        here.sets.append("alerts.fault=off")
        engine = started(tmp_path, here)
        here.until(lambda text: "opened" in text)
        fails_to_write(engine)
        assert "FAULT" not in here.text()
