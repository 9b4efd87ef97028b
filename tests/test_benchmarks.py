"""Every measure that needs no other library still runs: nobody notices a broken one until its figure is wanted."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.__main__ import MEASURES, WITH_RIVALS
from tests.support import REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_200)]


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
