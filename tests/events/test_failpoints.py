"""Failpoints kill the process where requested, and nowhere else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from papertape.events.errors import ConfigError
from papertape.events.failpoints import FAILPOINTS, VARIABLE, hit

PROGRAM = """
import sys
from papertape.events.errors import ConfigError
from papertape.events.failpoints import hit
try:
    for number in range(5):
        hit("during_recovery")
        print(number, flush=True)
except ConfigError as error:
    sys.exit(f"refused: {error}")
"""


def run(value: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, VARIABLE: value},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("value", "reached"), [("during_recovery", ""), ("during_recovery:1", ""), ("during_recovery:3", "01")]
)
def test_the_nth_hit_kills(value: str, reached: str) -> None:
    finished = run(value)
    assert finished.returncode == -signal.SIGKILL
    assert finished.stdout.replace("\n", "") == reached


@pytest.mark.parametrize("value", ["", "before_commit", "during_recovery:6"])
def test_an_unarmed_failpoint_does_nothing(value: str) -> None:
    assert run(value).returncode == 0


@pytest.mark.parametrize("value", ["at_lunch", "during_recovery:0", "during_recovery:x", "during_recovery:-1"])
def test_an_invalid_variable_is_refused_by_name(value: str) -> None:
    finished = run(value)
    assert "refused: " in finished.stderr
    assert value in finished.stderr


def test_an_unknown_failpoint_is_refused() -> None:
    with pytest.raises(ConfigError, match=", ".join(FAILPOINTS)):
        hit("at_lunch")
