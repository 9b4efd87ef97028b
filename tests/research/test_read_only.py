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
from tests.support import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest.importorskip("numba", reason="the extra `research` is not installed: nothing is compiled")
SETPRIV = shutil.which("setpriv")
pytestmark = pytest.mark.skipif(os.getuid() == 0 and SETPRIV is None, reason="root may write everywhere")
PRIVATE = f"papertape-{os.getuid()}-numba"
COMPILING = "note: compiling momentum ...\n"
UNCACHED = "compiled strategies are not kept for the next start"


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

    def backtest(self, **extra: str) -> subprocess.CompletedProcess[str]:
        """Run one as a user whom the modes of folders hold back, which they do not hold back root."""
        cap = "-dac_override,-dac_read_search"
        bound = [str(SETPRIV), "--bounding-set", cap, "--inh-caps", cap] if os.getuid() == 0 else []
        here = {
            "PYTHONPATH": str(self.folder / "site"), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.temporary), "NUMBA_CACHE_DIR": "", "XDG_CACHE_HOME": str(self.folder / "home"),
        }  # fmt: skip
        return subprocess.run(
            [*bound, sys.executable, "-P", "-m", "papertape", "backtest", "--candles", "BTCUSDT=ok.csv", "--strategy",
             "momentum", "--engine", "compiled"],
            cwd=self.folder, env=environment(**here, **extra), capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[ReadOnly]:
    made = ReadOnly(tmp_path)
    yield made
    made.give_back()


def test_loops_are_kept_in_a_folder_of_the_users_own(installed: ReadOnly) -> None:
    done = installed.backtest()
    assert (done.returncode, done.stderr) == (0, COMPILING), done.stderr
    assert "compiled" in done.stdout
    private = installed.temporary / PRIVATE
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    before = {path: path.stat().st_mtime_ns for path in private.rglob("*.nbc")}
    assert before, "nothing was kept"
    for path in before:
        if "advance" in path.name or "place_exit" in path.name:  # One that is the strategy's, one that all share.
            path.write_bytes(path.read_bytes()[:100])  # What a power cut leaves.
    again = installed.backtest()
    assert (again.returncode, again.stderr) == (0, COMPILING), again.stderr
    assert all(path.stat().st_size > 100 for path in private.rglob("*.nbc")), "a torn one is made anew"


@pytest.mark.parametrize("open_to", [pytest.param("others", marks=pytest.mark.slow), "a link"])
def test_a_folder_that_others_may_write_to_is_not_trusted(installed: ReadOnly, open_to: str) -> None:
    private = installed.temporary / PRIVATE
    if open_to == "others":
        private.mkdir()
        private.chmod(0o777)
    else:
        (installed.folder / "elsewhere").mkdir(mode=0o700)
        private.symlink_to(installed.folder / "elsewhere")
    done = installed.backtest()
    assert done.returncode == 0, done.stderr
    assert "compiled" in done.stdout
    (line,) = done.stderr.replace(COMPILING, "").splitlines()
    assert line.startswith(UNCACHED)
    assert not list(private.rglob("*"))
