"""Standard output as people have it: other encodings, no reader, a full disk; and texts that are hostile."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from papertape.events.facts import RunnerPaused
from papertape.events.log import Entry
from tests.build import DAY_0_MS, FIVE_MINUTES_MS
from tests.cli.written_log import FILL, PAUSE, entries, write_log
from tests.engine.processes import command, environment, papertape
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\u202egnp.exe\u2066"
"""A title, a cleared screen, a colour by one byte, a carriage return, a line that reads backwards."""
RAW = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]|\x1b(?!\\[[0-9;?]*[a-zA-Z])")
"""Controls that are not the program's own: those are colours and movements of the cursor."""
READING = ("positions", "arena", "log", "trades", f"why {FILL}", "doctor", "replay")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a log that contains a hostile reason, and a candle file."""
    made = tmp_path_factory.mktemp("streams")
    commits = entries()
    commits[4] = [Entry(RunnerPaused(DAY_0_MS, "liquidation", "anna", f"stop{HOSTILE}now"))]
    write_log(made / "log.db", commits)
    rows = [f"{DAY_0_MS + n * FIVE_MINUTES_MS},100.0,100.1,99.9,100.0,10\n" for n in range(60)]
    (made / "ok.csv").write_text("open_time_ms,open,high,low,close,volume\n" + "".join(rows), encoding="utf-8")
    return made


def shell(folder: Path, line: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command line in which `papertape` is the real program."""
    program = " ".join(command())
    script = f'papertape() {{ {program} "$@"; }}\n{line}'
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", script],
        cwd=folder, env=environment(**extra), capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("verb", READING)
def test_every_verb_writes_what_an_encoding_knows(folder: Path, verb: str) -> None:
    done = papertape(folder, *verb.split(), "--db", "log.db", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii() and done.stdout.strip()


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "ascii"])
def test_a_backtest_shows_its_table_in_any_encoding(folder: Path, encoding: str) -> None:
    arguments = ("backtest", "--candles", "BTCUSDT=ok.csv", "--engine", "python")
    done = papertape(folder, *arguments, PYTHONIOENCODING=encoding, COLUMNS="140")
    assert (done.returncode, done.stderr) == (0, "")
    assert "vwap_rsi" in done.stdout and "????" in done.stdout


def test_json_says_the_same_in_any_encoding_and_holds_no_raw_control(folder: Path) -> None:
    arguments = ("log", "--json", "--db", "log.db")
    narrow, wide = papertape(folder, *arguments, PYTHONIOENCODING="ascii"), papertape(folder, *arguments)
    assert narrow.stdout.isascii() and RAW.search(wide.stdout) is None
    rows = {row["seq"]: row for row in map(json.loads, wide.stdout.split("\n")[:-1])}
    assert list(rows.values()) == [json.loads(line) for line in narrow.stdout.splitlines()]
    assert rows[PAUSE]["why"] == f"stop{HOSTILE}now", "JSON loses nothing"


@pytest.mark.parametrize("verb", ["log --all", "log --json"])
@pytest.mark.parametrize(
    ("into", "code", "said"),
    [
        ("| true", 141, ""),
        ("> /dev/full", 1, "error: cannot write to standard output: No space left on device\n"),
        (">&-", 1, "error: cannot write to standard output: Bad file descriptor\n"),
        ("> /dev/full 2> /dev/full", 1, ""),
        ("> /dev/full 2>&-", 1, ""),
    ],
)
def test_output_that_nobody_takes_ends_a_verb_with_a_code(
    folder: Path, verb: str, into: str, code: int, said: str
) -> None:
    done = shell(folder, f"papertape {verb} --db log.db {into}")
    assert (done.returncode, done.stderr) == (code, said)


def test_a_refusal_keeps_its_code_where_nobody_can_be_told(folder: Path) -> None:
    for streams in (">&- 2>&-", "> /dev/full 2> /dev/full"):
        assert shell(folder, f"papertape positions --db none.db {streams}").returncode == 2


def test_a_command_that_was_taken_is_no_failure_where_nobody_hears_of_it(tmp_path: Path) -> None:
    write_log(tmp_path / "log.db")
    done = shell(tmp_path, "papertape kill --why 'full disk' --db log.db > /dev/full")
    assert (done.returncode, done.stderr) == (0, "")
    assert "full disk" in papertape(tmp_path, "log", "--db", "log.db").stdout


@pytest.mark.parametrize("verb", [*READING, "why 13"])
def test_no_text_of_a_log_commands_a_terminal(folder: Path, verb: str) -> None:
    assert RAW.search(on_terminal(folder, *verb.split(), "--db", "log.db")) is None


def test_no_name_on_the_command_line_commands_a_terminal(folder: Path) -> None:
    for arguments in (
        ["arena", "--db", f"{HOSTILE}.db"],
        ["positions", f"--{HOSTILE}"],
        [HOSTILE],
        ["trades", "--strategy", HOSTILE, "--db", "log.db"],
        ["backtest", "--candles", f"{HOSTILE}=ok.csv"],
        ["backtest", "--candles", f"BTCUSDT={HOSTILE}.csv"],
        ["run", "--feed", HOSTILE],
    ):
        said = on_terminal(folder, *arguments)
        assert "error" in said.lower()
        assert RAW.search(said) is None, arguments


def test_a_name_that_is_no_utf_8_is_shown_with_replacement_signs(folder: Path) -> None:
    name = os.fsdecode(b"l\xf6g.db")
    write_log(folder / name)
    for arguments in (["positions"], ["doctor"], ["doctor", "--json"], ["arena", "--json"]):
        done = papertape(folder, *arguments, "--db", name)
        assert (done.returncode, done.stderr) == (0, ""), arguments


def on_terminal(folder: Path, *arguments: str) -> str:
    """Return everything that is sent to a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command(*arguments), cwd=folder, env=environment(), stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = b""
    try:
        while content := os.read(ours, 65_536):
            seen += content
    except OSError:  # The last writer has left.
        pass
    finally:
        process.wait(PATIENCE_S)
        os.close(ours)
    return seen.decode().replace("\r\n", "\n")


def test_a_file_of_candles_may_have_a_name_that_is_no_utf_8(folder: Path) -> None:
    name = os.fsdecode(b"k\xfcrze.csv")
    (folder / name).write_bytes((folder / "ok.csv").read_bytes() + b"bad,row\n")
    played = ("run", "--feed", "file", "--speed", "max", "--until-end", "--db", "file.db")
    for arguments in (played, ("backtest", "--engine", "python")):
        done = papertape(folder, *arguments, "--candles", f"X={name}")
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        assert "k\ufffdrze.csv:62" in done.stderr.replace("\\udcfc", "\ufffd")
