"""The libraries we are measured against live in an environment of their own, `.venv-bench`.

They bring half a hundred packages, and some of them (scipy is one) change how long our own process takes to
start. What needs them is run whole, both sides in one process, by that environment's Python.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
from msgspec import Struct

from benchmarks.measure import ROOT, Bench, Result

FOLDER = Path(os.environ.get("PAPERTAPE_BENCH_VENV", ROOT / ".venv-bench"))
TIMEOUT_S = 1_800.0


class RivalResult(Struct):
    """What the other Python says: a result, and the versions it was found with."""

    result: Result
    versions: dict[str, str]


def at_home() -> bool:
    """Whether this process is the rivals' Python."""
    return Path(sys.prefix).resolve() == FOLDER.resolve()


def python() -> Path:
    """The rivals' Python; the environment is made when it is not there."""
    found = FOLDER / "bin" / "python"
    if not found.exists():
        print(f"making {FOLDER.name} for the libraries that are compared, some minutes", file=sys.stderr, flush=True)
        subprocess.run(["sh", "tools/venv.sh", sys.executable, str(FOLDER)], cwd=ROOT, check=True)
        (FOLDER / ".gitignore").write_text("*\n")
    if subprocess.run([found, "-c", "import vectorbt"], cwd=ROOT, capture_output=True, check=False).returncode:
        install = [str(found), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        for what in (["--require-hashes", "-r", "requirements/bench.lock"], ["--no-deps", "-e", "."]):
            subprocess.run([*install, *what], cwd=ROOT, check=True)
    return found


def run_with_rivals(name: str, bench: Bench) -> RivalResult:
    """Run one measure with the rivals' Python."""
    options = ["--quick"] if bench.quick else []
    done = subprocess.run(
        [python(), "-m", "benchmarks", name, "--worker", *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        stdout=subprocess.PIPE,
        timeout=TIMEOUT_S,
    )
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=RivalResult)
