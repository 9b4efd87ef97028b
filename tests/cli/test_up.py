"""`papertape up` as a process: what it refuses, what it shows, and that its children end with it."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from secrets import token_urlsafe

import httpx
import pytest

from papertape.cli.run_options import RunOptions, config_with_options
from papertape.cli.service.up import page_arguments, run_arguments
from tests.cli.test_process_supervisor import is_alive, wait_for
from tests.engine.processes import command, environment, ok, papertape, running
from tests.patience import PATIENCE_S, stretched
from tests.support import REPOSITORY

pytestmark = pytest.mark.system

DEMO = Path(__file__).parents[2] / "demo.toml"
UP = (
    "up", "--config", str(DEMO), "--db", "log.db", "--set", "feed.sim.warm_up_days=1", "feed.sim.symbols=BTCUSDT",
    "--port", "0",
)  # fmt: skip


def children(pid: int) -> list[int]:
    """Return the pids of a process's children."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def child_named(pid: int, verb: str) -> int:
    """Wait for the child that runs a command, and return its pid."""
    found: list[int] = []

    def is_there() -> bool:
        with suppress(FileNotFoundError, ProcessLookupError):
            words = f"\0papertape\0{verb}\0"
            found.extend(one for one in children(pid) if words in Path(f"/proc/{one}/cmdline").read_text())
        return bool(found)

    wait_for(is_there)
    return found[0]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--set", "risk.levrage=5"), 4, "error: --set risk.levrage=5: risk.levrage is an unknown key; did you mean"),
        (("--feed", "simm"), 2, "error: --feed simm: must be one of sim, file, bitget"),
        (("--host", "127.0.0.256"), 4, "error: other machines can reach the address 127.0.0.256, so it needs a"),
        (("--host", "0.0.0.0"), 4, "error: other machines can reach the address 0.0.0.0, so it needs a token"),
        (("--port", "70000"), 2, "error: --port 70000: must be 0 to 65535"),
        (("--compare", "nowhere.db"), 2, "error: there is no log at nowhere.db"),
    ],
)
def test_a_typo_is_refused_before_anything_is_started(
    tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = papertape(tmp_path, *UP, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(said)
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        done = papertape(tmp_path, *UP[:-1], port)
    assert (done.returncode, list(tmp_path.iterdir())) == (1, []), "not wrong usage: a service manager tries again"
    assert re.fullmatch(
        f"error: cannot listen on 127.0.0.1 port {port}: another program listens there; "
        r"stop it, or choose another port with --port \d+\n",
        done.stderr,
    )


def test_the_engine_is_asked_for_what_was_asked_for() -> None:
    asked = RunOptions(
        Path("a.toml"), "file", ["X=a", "b"], [], ["c"], "max", Path("l.db"), True, 3, ["risk.leverage=5"]
    )
    assert run_arguments(asked, as_json=True) == [
        "--config", "a.toml", "--candles", "X=a", "--candles", "b", "--open-interest", "c", "--set", "risk.leverage=5",
        "--feed", "file", "--speed", "max", "--db", "l.db", "--seed", "3", "--until-end", "--json",
    ]  # fmt: skip
    assert run_arguments(RunOptions(None, None, [], [], [], None, None, False, None, []), as_json=False) == []


def test_the_page_is_told_which_exchange_an_option_named() -> None:
    asked = RunOptions(None, "ccxt:okx", [], [], [], None, None, False, None, [])
    assert "feed.ccxt.exchange=okx" in page_arguments(asked, config_with_options(asked))


@pytest.mark.parametrize(
    ("configured", "watched"),
    [("sim", ("bitget", "binanceusdm")), ("bitget", ("bitget", "binanceusdm")), ("ccxt", ("ccxt", "bybit"))],
)
def test_a_live_market_is_the_configured_one_or_that_of_bitget(
    tmp_path: Path, configured: str, watched: tuple[str, str]
) -> None:
    exchange = '[feed.ccxt]\nexchange = "bybit"\n' if configured == "ccxt" else ""
    (tmp_path / "my.toml").write_text(f'[feed]\nkind = "{configured}"\n{exchange}')
    asked = RunOptions(tmp_path / "my.toml", "live", [], [], [], None, None, False, None, [])
    feed = config_with_options(asked).feed
    assert (feed.kind, feed.ccxt.exchange) == watched
    assert f"feed.kind={watched[0]}" in page_arguments(asked, config_with_options(asked)), "the page watches the same"


@pytest.mark.parametrize("verb", ["run", "up"])
def test_an_unknown_exchange_is_refused_before_a_file_is_made(tmp_path: Path, verb: str) -> None:
    library = tmp_path / "library" / "ccxt" / "pro"
    library.mkdir(parents=True)
    for name in ("__init__", "bybit", "okx"):
        (library / f"{name}.py").touch()
    (library.parent / "__init__.py").write_text("raise AssertionError('a name is known without importing ccxt')")
    folder = tmp_path / "run"
    folder.mkdir()
    done = papertape(
        folder, verb, "--feed", "ccxt:bybt", "--db", "log.db", PYTHONPATH=f"{library.parents[1]}:{REPOSITORY}"
    )
    assert done.stderr == "error: feed.ccxt.exchange bybt: ccxt does not know it; did you mean bybit?\n"
    assert (done.returncode, done.stdout, list(folder.iterdir())) == (2, "", [])


def test_one_address_is_printed_first_and_a_token_that_commands_need(tmp_path: Path) -> None:
    with running(tmp_path, *UP) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
    assert lines[0].startswith("papertape: http://127.0.0.1:")
    assert "/login?token=" in lines[0]
    assert lines[1].startswith("commands need this token: ")
    assert len(lines[1].split()[-1]) >= 43


def test_its_page_shows_another_log_beside_it(tmp_path: Path) -> None:
    one_day = ("--feed", "sim", "--set", "feed.sim.days=1", "--set", "feed.sim.warm_up_days=1")
    ok(tmp_path, "run", *one_day, "--speed", "max", "--until-end", "--db", "other.db")
    with running(tmp_path, *UP, "--compare", "other.db") as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[1].partition("/login")[0]
        wait_for(lambda: "other.db" in _page(f"{url}/compare"))


def _page(url: str) -> str:
    """Return a page; an empty text while there is none."""
    try:
        return httpx.get(url, timeout=PATIENCE_S).text
    except httpx.TransportError:
        return ""


def test_a_token_of_the_owners_own_is_not_printed(tmp_path: Path) -> None:
    with running(tmp_path, *UP, until="engine", variables={"PAPERTAPE_TOKEN": token_urlsafe(32)}) as process:
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
    assert "token" not in said


def test_children_end_with_a_keeper_that_was_killed(tmp_path: Path) -> None:
    with running(tmp_path, *UP, until="seq 0") as process:
        engine = child_named(process.pid, "run")
        process.kill()
        try:
            assert wait_for(lambda: not is_alive(engine)) < stretched(5.0)
        finally:
            with suppress(ProcessLookupError):
                os.kill(engine, signal.SIGKILL)


def test_the_engine_has_the_terminal_and_says_where_the_page_is(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command(*UP), cwd=tmp_path, env=environment(COLUMNS="150", LINES="50"), stdin=theirs, stdout=theirs
    )
    os.close(theirs)
    try:
        seen = _read_until(ours, b"Arena")
        process.send_signal(signal.SIGINT)
        seen += _read_until(ours, b"no such text")
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    screen = seen.decode(errors="replace").partition("\x1b[?1049h")[2]
    assert "http://127.0.0.1:" in screen.partition("Arena")[0]
    assert "commands need this token" in screen.partition("Arena")[0]


def _read_until(descriptor: int, what: bytes) -> bytes:
    """Return a terminal's output until a text appears or nobody writes any more."""
    seen, ends_s = b"", time.monotonic() + PATIENCE_S
    while what not in seen and time.monotonic() < ends_s:
        try:
            seen += os.read(descriptor, 65_536)
        except OSError:  # The last writer has left.
            break
    return seen
