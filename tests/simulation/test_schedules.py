"""Schedules of faults: none may lose, repeat or invent anything. A seed that fails is named and can be replayed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.simulation.broken import BROKEN, Broken
from tests.simulation.schedule import find_broken, run_schedule
from tests.support import PROVING, REPOSITORY

pytestmark = pytest.mark.system

SCHEDULES = 10_000 if PROVING else 300
CHUNK = 100 if PROVING else 12
BROKEN_SCHEDULES_MAX = 300


@pytest.mark.parametrize("first", range(0, SCHEDULES, CHUNK))
def test_no_schedule_breaks_a_promise(first: int) -> None:
    for seed in range(first, first + CHUNK):
        outcome = run_schedule(seed)
        assert not outcome.wrong, f"python -m tests.simulation {seed}\n" + "\n".join(outcome.wrong)


def test_a_seed_reproduces_its_schedule_to_the_byte() -> None:
    """Also in another process, in which sets have another order."""
    seed = 24
    here = run_schedule(seed)
    ask = (
        f"from tests.simulation.schedule import run_schedule as r; o = r({seed}); print(o.log_digest, o.steps, o.lines)"
    )
    environment = os.environ | {"PYTHONHASHSEED": "77"}
    done = subprocess.run(
        [sys.executable, "-c", ask], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"{here.log_digest} {here.steps} {here.lines}"


@pytest.mark.parametrize("broken", BROKEN, ids=lambda one: one.name)
def test_a_broken_promise_is_noticed(broken: Broken) -> None:
    """Begin with the schedule that is known to notice it; a change of the program may call for another one."""
    likely = range(broken.noticed_by, broken.noticed_by + 1)
    found = find_broken(broken, likely) or find_broken(broken, range(BROKEN_SCHEDULES_MAX))
    assert found is not None, f"no schedule notices when this is broken: {broken.promise}"
