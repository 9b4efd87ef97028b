"""Check drawn power cuts of a recording, and say how to see a failed one again."""

from __future__ import annotations

import os
import pickle
import shutil
import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import pytest

from papertape.events.errors import PapertapeError
from tests.power.crash import CrashState, draw
from tests.power.recorder import Recording, record
from tests.power.roles import BREACH_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.power.scenarios import Scenario

MEMORY: Final = "/dev/shm"
OPERATIONS_SHOWN: Final = 6
BROKEN: Final = (AssertionError, PapertapeError, LookupError, OSError, ValueError, sqlite3.Error, pytest.fail.Exception)
"""How a check and the program itself report a broken promise."""


class Failure(Exception):
    """A power cut after which a promise is broken."""

    def __init__(self, state: CrashState, why: str) -> None:
        super().__init__(f"seed {state.seed}, a cut after {state.operations} operations, {state.fate}: {why}")
        self.state = state


def recorded(scenario: Scenario, folder: Path, breach: str = "") -> Recording:
    """Play a scenario in a new folder and record it; `breach` names a promise that it breaks."""
    folder.mkdir(parents=True)
    scenario.prepare(folder)
    return record(folder, scenario.steps(folder, {BREACH_VARIABLE: breach} if breach else {}))


def check_states(recording: Recording, scenario: Scenario, seeds: Iterable[int], folder: Path) -> int:
    """Check the state of each seed and return their number. Raise Failure for the first one that breaks a promise.

    The recording is kept in the existing `folder` then. The states themselves are in memory if the machine allows it:
    an engine that starts on one need not wait for a disk.
    """
    with TemporaryDirectory(prefix="papertape-power-", dir=MEMORY if os.access(MEMORY, os.W_OK) else folder) as states:
        return _check_states(recording, scenario, draw(recording, seeds, Path(states)), folder)


def _check_states(recording: Recording, scenario: Scenario, states: Iterable[CrashState], folder: Path) -> int:
    count = 0
    for state in states:
        try:
            scenario.check(state)
        except BROKEN as error:
            path = folder / f"{scenario.name}.recording"
            path.write_bytes(pickle.dumps(recording))
            last = recording.operations[max(0, state.operations - OPERATIONS_SHOWN) : state.operations]
            around = "".join(f"\n    {type(one).__name__} {one.path}" for one in last)
            again = f"python -m tests.power {scenario.name} {path} {state.seed}"
            raise Failure(state, f"{type(error).__name__}: {error}\nbehind{around}\nagain: {again}") from error
        shutil.rmtree(state.folder)
        count += 1
    return count
