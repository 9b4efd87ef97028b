"""An installation nobody may write to, and a user without a home: a backtest is compiled all the same."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.build import DAY_0_MS, FIVE_MINUTES_MS
from tests.engine.processes import environment
from tests.research.ways import copy_shared
from tests.support import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest.importorskip("numba", reason="the extra `research` is not installed: nothing is compiled")
SETPRIV = shutil.which("setpriv")
pytestmark = [
    pytest.mark.skipif(os.getuid() == 0 and SETPRIV is None, reason="root may write everywhere"),
    pytest.mark.system,
]
PRIVATE = f"papertape-{os.getuid()}-numba"
COMPILING = "note: compiling momentum ...\n"
TORN_BYTES = 100
UNCACHED = "compiled strategies are not kept for the next start"
SMALL = """
from papertape.engine.kernel.rounding import ceil_steps
from papertape.engine.research.numba_callees import make_loop
print(make_loop(ceil_steps, "")(2.5, 1, 1), "steps")
"""
"""A program that compiles one function of the kernel, which takes no time, in the place of a whole strategy."""


class ReadOnly:
    """A copy of the sources in a folder that takes no file, and how it is run."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.temporary = folder, folder / "tmp"
        self.temporary.mkdir()
        (folder / "home").mkdir(mode=0o500)
        (folder / "site").mkdir()
        ignored = shutil.ignore_patterns("__pycache__", "assets")
        shutil.copytree(REPOSITORY / "papertape", folder / "site" / "papertape", ignore=ignored)
        self._each_folder(0o555)
        rows = [f"{DAY_0_MS + n * FIVE_MINUTES_MS},100.0,100.1,99.9,100.0,10\n" for n in range(60)]
        (folder / "ok.csv").write_text("open_time_ms,open,high,low,close,volume\n" + "".join(rows), encoding="utf-8")

    def _each_folder(self, mode: int) -> None:
        for found in [self.folder / "site", *(self.folder / "site").rglob("*")]:
            if found.is_dir():
                found.chmod(mode)

    def give_back(self) -> None:
        self._each_folder(0o755)
        (self.folder / "home").chmod(0o700)

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python as a user whom the modes of folders hold back, which they do not hold back root."""
        cap = "-dac_override,-dac_read_search"
        bound = [str(SETPRIV), "--bounding-set", cap, "--inh-caps", cap] if os.getuid() == 0 else []
        here = {
            "PYTHONPATH": str(self.folder / "site"), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.temporary), "NUMBA_CACHE_DIR": "", "XDG_CACHE_HOME": str(self.folder / "home"),
        }  # fmt: skip
        return subprocess.run(
            [*bound, sys.executable, "-P", *arguments],
            cwd=self.folder, env=environment(**here), capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip

    def backtest(self) -> subprocess.CompletedProcess[str]:
        """Run a backtest of a strategy, compiled."""
        files = ["--candles", "BTCUSDT=ok.csv", "--strategy", "momentum"]
        return self.python("-m", "papertape", "backtest", *files, "--engine", "compiled")


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[ReadOnly]:
    made = ReadOnly(tmp_path)
    yield made
    made.give_back()


def test_loops_are_kept_in_a_folder_of_the_users_own(installed: ReadOnly) -> None:
    done = installed.python("-c", SMALL)
    assert (done.stdout, done.stderr) == ("3 steps\n", "")
    private = installed.temporary / PRIVATE
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    (small,) = private.rglob("*.nbc")
    copy_shared(private, installed.folder / "site")
    before = {path for path in private.rglob("*.nbc") if tear(path, "ceil_steps", "place_exit")}
    done = installed.backtest()
    assert (done.returncode, done.stderr) == (0, COMPILING), done.stderr
    assert "compiled" in done.stdout
    again = installed.python("-c", SMALL)
    assert (again.stdout, again.stderr) == ("3 steps\n", "")
    after = set(private.rglob("*.nbc"))
    assert before < after, "nothing was kept"
    assert any("advance" in path.name for path in after - before)
    assert small in after
    whole = {function_of(path) for path in after if path.stat().st_size > TORN_BYTES}
    assert whole == {function_of(path) for path in after}, "a torn one is made anew"


def function_of(path: Path) -> str:
    """Return the function that a file of machine code belongs to; there may be files of earlier versions too."""
    return path.name.partition(".py")[0]


def tear(path: Path, *names: str) -> bool:
    """Leave what a power cut leaves of a file with one of these names."""
    if any(name in path.name for name in names):
        path.write_bytes(path.read_bytes()[:TORN_BYTES])
    return True


def share(installed: ReadOnly, open_to: str) -> Path:
    """Return the private folder, which others may write to."""
    private = installed.temporary / PRIVATE
    if open_to == "others":
        private.mkdir()
        private.chmod(0o777)
    else:
        (installed.folder / "elsewhere").mkdir(mode=0o700)
        private.symlink_to(installed.folder / "elsewhere")
    return private


@pytest.mark.parametrize("open_to", ["others", "a link"])
def test_a_folder_that_others_may_write_to_is_not_trusted(installed: ReadOnly, open_to: str) -> None:
    private = share(installed, open_to)
    done = installed.python("-c", SMALL)
    assert done.stdout == "3 steps\n"
    assert done.stderr.startswith(UNCACHED)
    assert not list(private.rglob("*"))


@pytest.mark.slow
def test_a_backtest_without_a_cache_warns_once(installed: ReadOnly) -> None:
    private = share(installed, "a link")
    done = installed.backtest()
    assert done.returncode == 0, done.stderr
    assert "compiled" in done.stdout
    (line,) = done.stderr.replace(COMPILING, "").splitlines()
    assert line.startswith(UNCACHED)
    assert not list(private.rglob("*"))
