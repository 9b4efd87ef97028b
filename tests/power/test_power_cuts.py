"""After any power cut nothing that was promised is lost, and everything starts by itself."""

from __future__ import annotations

from collections import deque
from math import ceil
from typing import TYPE_CHECKING, Final

import pytest

from tests.power.breaches import BREACHES
from tests.power.prove import Failure, check_states, recorded
from tests.power.recorder import Recording, needs_strace
from tests.power.scenarios import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [needs_strace, pytest.mark.system]

STATES: Final = 200
STATES_PROVEN: Final = 5_000
STATES_A_TEST: Final = 250
STATES_A_BREACH: Final = 200
STATES_AT_ONCE: Final = 20
WEIGHTS: Final = sum(scenario.weight for scenario in SCENARIOS.values())
PROVEN: Final = [
    pytest.param(scenario.name, first, id=f"{scenario.name}-{first}")
    for scenario in SCENARIOS.values()
    for first in range(STATES, STATES + STATES_PROVEN * scenario.weight // WEIGHTS, STATES_A_TEST)
]


@pytest.fixture(scope="session")
def recording_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Recording]:
    """Record each scenario once."""
    known: dict[str, Recording] = {}

    def recording(name: str) -> Recording:
        if name not in known:
            known[name] = recorded(SCENARIOS[name], tmp_path_factory.mktemp(name) / "log")
        return known[name]

    return recording


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_power_cut_loses_nothing(name: str, recording_of: Callable[[str], Recording], tmp_path: Path) -> None:
    count = ceil(STATES * SCENARIOS[name].weight / WEIGHTS)
    assert check_states(recording_of(name), SCENARIOS[name], range(count), tmp_path) == count


@pytest.mark.slow
@pytest.mark.parametrize(("name", "first"), PROVEN)
def test_thousands_of_power_cuts_lose_nothing(
    name: str, first: int, recording_of: Callable[[str], Recording], tmp_path: Path
) -> None:
    check_states(recording_of(name), SCENARIOS[name], range(first, first + STATES_A_TEST), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("breach", BREACHES)
def test_a_broken_promise_is_found(breach: str, tmp_path: Path) -> None:
    scenario = SCENARIOS[BREACHES[breach].scenario]
    recording = recorded(scenario, tmp_path / "recorded" / "log", breach)
    batches = (range(first, first + STATES_AT_ONCE) for first in range(0, STATES_A_BREACH, STATES_AT_ONCE))
    with pytest.raises(Failure) as found:
        deque((check_states(recording, scenario, seeds, tmp_path) for seeds in batches), maxlen=0)
    print(f"{breach}: {found.value}")
