"""A promise in seconds waits longer where the processor is taken, and only there."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.patience import STRETCH_MAX, crowding, stretched

HOGS = 3


def test_a_limit_is_never_shorter_and_never_endless() -> None:
    assert 2.0 <= stretched(2.0) <= 2.0 * STRETCH_MAX


def test_a_limit_stretches_with_the_load_of_the_last_minute() -> None:
    load = os.getloadavg()[0] / len(os.sched_getaffinity(0))
    assert stretched(1.0) >= min(STRETCH_MAX, 0.9 * load), "the load changes every five seconds"


def test_work_is_crowded_by_those_who_share_the_processor() -> None:
    """All of them on one processor: with three others each has a quarter of it."""
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(mine)})
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(HOGS)]
    try:
        assert max(crowding() for _ in range(5)) > 1.5
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
        os.sched_setaffinity(0, mine)
