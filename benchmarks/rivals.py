"""Run the benchmarks against other libraries in a separate environment, `.venv-bench`.

The libraries bring about fifty packages, some of which (such as scipy) change the start time of our own process.
These benchmarks run both sides in one process with that environment's Python.
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
    """A result, with the versions it was measured with."""

    result: Result
    versions: dict[str, str]


def at_home() -> bool:
    """Return whether this process runs in the rivals' environment."""
    return Path(sys.prefix).resolve() == FOLDER.resolve()


def python() -> Path:
    """Return the rivals' Python; create its environment if it is missing."""
    executable = FOLDER / "bin" / "python"
    if not executable.exists():
        print(
            f"creating {FOLDER.name} for the compared libraries, which takes some minutes", file=sys.stderr, flush=True
        )
        subprocess.run(["sh", "tools/venv.sh", sys.executable, str(FOLDER)], cwd=ROOT, check=True)
        (FOLDER / ".gitignore").write_text("*\n")
    if subprocess.run([executable, "-c", "import vectorbt"], cwd=ROOT, capture_output=True, check=False).returncode:
        install = [str(executable), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        for what in (["--require-hashes", "-r", "requirements/bench.lock"], ["--no-deps", "-e", "."]):
            subprocess.run([*install, *what], cwd=ROOT, check=True)
    return executable


def run_with_rivals(name: str, bench: Bench) -> RivalResult:
    """Run one benchmark with the rivals' Python."""
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
