"""Every measure that needs no other library still runs: nobody notices a broken one until its figure is wanted."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.__main__ import MEASURES, WITH_RIVALS
from benchmarks.report import keep_sections_of_programs
from tests.support import REPOSITORY

PROGRAM = "## sealed: by hand\n\n`python -m benchmarks.programs.sealed LOG`\n\n| speed | 1x | 5x | NOT met |\n"


def test_a_full_run_keeps_what_programs_measured() -> None:
    measured = "# Results\n\n1 of 1 targets met.\n\n## append: durable\n\n| speed | 2x | 1x | met |\n"
    kept = keep_sections_of_programs(measured, "# Results\n\n## append: old\n\n" + PROGRAM)
    assert kept.endswith(PROGRAM)
    assert "## append: old" not in kept
    assert "1 of 2 targets met.\nNot met:" in kept


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("name", sorted({*MEASURES} - {*WITH_RIVALS}))
def test_a_measure_runs_in_small(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", name, "--quick"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    assert done.stdout.strip()
