"""Check drawn power cuts of a recording, and say how to see a failed one again."""

from __future__ import annotations

import pickle
import shutil
from typing import TYPE_CHECKING, Final

from tests.power.crash import CrashState, draw
from tests.power.recorder import Recording, record
from tests.power.roles import BREACH_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.power.scenarios import Scenario

OPERATIONS_SHOWN: Final = 6


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

    The state as it was drawn, and the recording, stay in `folder` then.
    """
    count = 0
    for state in draw(recording, seeds, folder):
        try:
            scenario.check(state)
        except Exception as error:
            path = folder / f"{scenario.name}.recording"
            path.write_bytes(pickle.dumps(recording))
            last = recording.operations[max(0, state.operations - OPERATIONS_SHOWN) : state.operations]
            around = "".join(f"\n    {type(one).__name__} {one.path}" for one in last)
            again = f"python -m tests.power {scenario.name} {path} {state.seed}"
            raise Failure(state, f"{type(error).__name__}: {error}\nbehind{around}\nagain: {again}") from error
        shutil.rmtree(state.folder)
        count += 1
    return count
