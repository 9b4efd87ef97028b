"""Studies whose process is stopped: by Ctrl-C while it compiles or runs, by a kill; and those without a compiler."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.research_market import call, study_of, sweep_line, write_market
from tests.engine.processes import command, environment
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.system

VARY = ("sl_percent=0.4:0.7:0.1", "volume=50,60")


@contextmanager
def sweeping(folder: Path, *arguments: str, **extra: str) -> Iterator[subprocess.Popen[str]]:
    """Run a sweep as a process in a folder, and end it with the block."""
    with subprocess.Popen(
        command(*arguments), cwd=folder, env=environment(**extra), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        # Whoever runs the tests in the background may have SIGINT ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no thread runs here.
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def read_until(process: subprocess.Popen[str], kind: str) -> None:
    """Read lines of JSON until one of a type."""
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["type"] == kind:
            return
    raise AssertionError(process.stderr.read() if process.stderr else "")


def resumed(folder: Path, err: str) -> dict[str, Any]:
    """Run the line that an interrupted study printed; its verdict."""
    line = err.partition("resume with: ")[2].splitlines()[0]
    program, *arguments = shlex.split(line)
    assert program == "papertape"
    done = subprocess.run(
        command(*arguments),
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    told = [json.loads(text) for text in done.stdout.splitlines()]
    assert sum(line["sets"] for line in told if line["type"] == "chunk") < told[-1]["plan"]["space"]["sets"] * 7
    found: dict[str, Any] = told[-1]
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of the study whose process is left alone."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write_market(folder)
    return str(study_of(call(*sweep_line(folder, "--json", vary=VARY)))["document"]["digest"])


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_after_ctrl_c_the_printed_line_resumes_to_the_same_digest(
    tmp_path: Path, undisturbed: str, stop: signal.Signals
) -> None:
    write_market(tmp_path)
    with sweeping(tmp_path, *sweep_line(tmp_path, "--json", vary=VARY)) as process:
        read_until(process, "estimate")
        process.send_signal(stop)
        _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "stopping: the tasks in flight are finished and stored; Ctrl-C again stops at once" in err
    (path,) = [one for one in tmp_path.glob("data/studies/*.db") if one.stem != "ledger"]
    assert f"interrupted: what was run is stored in {path}" in err
    assert resumed(tmp_path, err)["document"]["digest"] == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_after_a_kill_the_same_command_resumes_to_the_same_digest(tmp_path: Path, undisturbed: str, seed: int) -> None:
    write_market(tmp_path)
    line = sweep_line(tmp_path, "--json", "--study", "killed", vary=VARY)
    with sweeping(tmp_path, *line) as process:
        read_until(process, "estimate" if seed else "chunk")
        time.sleep(0.2 * seed)
        process.kill()
    assert resumed(tmp_path, f"resume with: {shlex.join(['papertape', *line])}")["document"]["digest"] == undisturbed


def test_ctrl_c_while_the_strategy_is_compiled_ends_at_once(tmp_path: Path) -> None:
    pytest.importorskip("numba")
    write_market(tmp_path)
    line = [one if one != "python" else "compiled" for one in sweep_line(tmp_path, "--study", "cold")]
    with sweeping(tmp_path, *line, NUMBA_CACHE_DIR=str(tmp_path / "cache")) as process:
        deadline = time.monotonic() + PATIENCE_S
        while not (tmp_path / "data" / "studies" / "cold.db").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert err.endswith("--study cold\n")
    assert "Traceback" not in err
    assert "resume with: papertape sweep --strategy follower" in err


INTERRUPTED_IN_A_COMPILER = """
import sys
from papertape.cli import app
from papertape.cli.__main__ import main

def compile_and_leave():
    try:
        exec("raise KeyboardInterrupt")
    except KeyboardInterrupt:
        sys.exit(130)

app.main = compile_and_leave
main()
"""


def test_an_interrupt_within_generated_code_ends_with_the_exit_code(tmp_path: Path) -> None:
    (tmp_path / "interrupted.py").write_text(INTERRUPTED_IN_A_COMPILER)
    path = f"{tmp_path}:{environment()['PYTHONPATH']}"
    done = subprocess.run(
        [sys.executable, "-m", "interrupted"], cwd=tmp_path, env=environment(PYTHONPATH=path), check=False
    )
    assert done.returncode == 130


def test_without_numba_a_sweep_runs_in_cpython_and_says_so(tmp_path: Path, undisturbed: str) -> None:
    write_market(tmp_path)
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['numba'] = None\n")
    line = [one if one != "python" else "auto" for one in sweep_line(tmp_path, "--json", vary=VARY)]
    path = f"{tmp_path}:{environment()['PYTHONPATH']}"
    with sweeping(tmp_path, *line, PYTHONPATH=path) as process:
        out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert "numba is not installed: sets run in CPython, about 100 times slower" in err
    assert json.loads(out.splitlines()[-1])["document"]["digest"] == undisturbed
