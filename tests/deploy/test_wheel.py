"""The wheel: built from the source distribution, installed into an empty environment, run beside modules so named."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.patience import PATIENCE_S
from tests.support import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
SHADOWS = ("engine", "events", "projections", "api", "ui", "cli", "sandbox", "studies")
MARKET = ("--feed", "sim", "--set", "feed.sim.days=1", "--set", "feed.sim.warm_up_days=1")
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


def run(command: list[str], folder: Path, seconds: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
    """Run a command with nothing of this checkout in its environment."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PAPERTAPE", "PYTHON"))}
    return subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, timeout=seconds, check=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the source distribution, and the wheel from that."""
    folder = tmp_path_factory.mktemp("dist")
    sources = tmp_path_factory.mktemp("sources") / "papertape"
    away = shutil.ignore_patterns(
        ".git",
        ".venv*",
        ".*_cache",
        ".hypothesis",
        "build",
        "dist",
        "*.egg-info",
        "__pycache__",
        "data",
        "logs",
        "tests",
        "docs",
    )
    shutil.copytree(REPOSITORY, sources, symlinks=True, ignore=away)
    done = run([sys.executable, "-m", "build", "--outdir", str(folder), str(sources)], folder)
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-2_000:]
    [found] = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of programs of an environment that holds the wheel, the locked packages and PyPI's Events."""
    folder = tmp_path_factory.mktemp("environment")
    programs = folder / "env" / "bin"
    assert (
        run(["sh", str(REPOSITORY / "tools" / "venv.sh"), sys.executable, str(folder / "env")], folder).returncode == 0
    )
    lock = str(REPOSITORY / "requirements" / "run.lock")
    for what in (["--require-hashes", "-r", lock], ["--no-deps", str(wheel)], ["Events==0.5"]):
        done = run([str(programs / "python"), "-m", "pip", "install", "--quiet", *what], folder)
        assert done.returncode == 0, done.stderr
    return programs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a working directory whose own modules carry the names of our rooms."""
    for name in SHADOWS:
        (tmp_path / f"{name}.py").write_text(
            f'raise SystemExit("the {name}.py of the working directory was imported")\n'
        )
    return tmp_path


def papertape(installed: Path, folder: Path, *arguments: str) -> str:
    """Run a command of the installed papertape; it must succeed."""
    done = run([str(installed / "papertape"), *arguments], folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_one_package_with_everything_a_user_needs(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"papertape"}
    needed = {
        "examples/demo.toml",
        "examples/papertape.toml",
        "examples/dip_buyer.py",
        "sandbox/bitget/twin.py",
        "ui/templates/base.html",
    }
    assert {f"papertape/{name}" for name in needed} <= set(names)
    assert not [name for name in names if "/tests/" in name or "__pycache__" in name]


def test_commands_run_beside_modules_of_the_same_names(installed: Path, folder: Path) -> None:
    assert papertape(installed, folder, "--version").startswith("papertape ")
    events = run([str(installed / "python"), "-P", "-c", "import events; print(events.__version__)"], folder)
    assert events.stdout.strip(), "PyPI's Events is whole: nothing of ours was written over it"
    candles = folder / "BTCUSDT.csv"
    rows = [
        f"{1_735_689_600_000 + 300_000 * i},{100 + i % 7},{101 + i % 7},{99 + i % 7},{100 + i % 7},5"
        for i in range(600)
    ]
    candles.write_text("\n".join(["open_time_ms,open,high,low,close,volume", *rows]) + "\n")
    result = papertape(
        installed, folder, "backtest", "--candles", f"BTCUSDT={candles}", "--strategy", "momentum", "--json"
    )
    assert json.loads(result)["facts"] == len(rows)
    papertape(installed, folder, "run", *MARKET, "--until-end", "--db", "log.db", "--json")
    backup = json.loads(papertape(installed, folder, "backup", "--db", "log.db", "--json"))
    assert Path(folder, backup["path"]).is_file()
    papertape(installed, folder, "verify", "--db", "log.db")


def test_a_folder_of_ones_own_works_from_an_installed_wheel(installed: Path, folder: Path) -> None:
    papertape(installed, folder, "init", "mine")
    mine = folder / "mine"
    assert papertape(installed, mine, "config", "check").startswith("ok papertape.toml")
    one_day = ("--set", "feed.sim.days=1", "feed.sim.symbols=BTCUSDT", "--speed", "max", "--until-end")
    papertape(installed, mine, "run", *one_day, "--json")
    assert "dip_buyer" in papertape(installed, mine, "arena")


def wait_for(read: Callable[[], T | None]) -> T:
    """Return the first value that is not empty."""
    ends_s = time.monotonic() + PATIENCE_S
    while not (found := read()):
        assert time.monotonic() < ends_s, "it never came"
        time.sleep(0.1)
    return found


def read_page(url: str) -> str:
    """Return the overview, or nothing while the page has not read the log yet."""
    try:
        with urlopen(url, timeout=PATIENCE_S) as answer:
            return str(answer.read().decode())
    except HTTPError as error:
        if error.code != HTTPStatus.SERVICE_UNAVAILABLE:
            raise
        return ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("up", *MARKET, "--set", "feed.speed=600", "--port", "0", "--db", "live.db"),
        ("demo", "--port", "0", "--data-dir", "demo"),
        ("twin", "bitget", "--port", "0"),
        ("twin", "telegram", "--port", "0"),
    ],
    ids=" ".join,
)
def test_services_answer_from_an_installed_wheel(installed: Path, folder: Path, arguments: tuple[str, ...]) -> None:
    said = folder / "chat.txt"  # The stand-in of Telegram prints its token.
    with said.open("w") as out:
        service = subprocess.Popen([str(installed / "papertape"), *arguments], cwd=folder, stdout=out, stderr=out)
    try:
        found = wait_for(lambda: ADDRESS.search(said.read_text()))
        if arguments[0] in ("up", "demo"):
            page = wait_for(lambda: read_page(found[0]))
            assert "<title>" in page
            assert "charts.js" in page
    finally:
        service.terminate()
        assert service.wait(PATIENCE_S) == 0, said.read_text()
