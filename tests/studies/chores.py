"""A small study for the tests of this folder: its plan, its tape, its sets, and results as they could be."""

from __future__ import annotations

import os
import signal
from array import array
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import asdict

from papertape.engine.research.set_result import SetResult, TradedSpan
from papertape.engine.runner_settings import RunnerSettings
from papertape.engine.strategy_registry import code_digest, load_strategies
from papertape.events.units import HOUR_MS
from papertape.projections.studies.document import Axis, SpaceView, StudyPlan
from papertape.studies.tasks import StudyTask, TaskOutcome, versions
from tests.build import DAY_0_MS, FIVE_MINUTES_MS
from tests.reducer.random_market import Recipe, market

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.engine.research.tape import Tape

STRATEGY = "funding"
CODE = code_digest([load_strategies()[STRATEGY]])
MIDDLE_MS = DAY_0_MS + 15 * HOUR_MS
SPANS = (TradedSpan(), TradedSpan(None, MIDDLE_MS), TradedSpan(MIDDLE_MS, None))
SETTINGS = RunnerSettings()


class Grid(Struct, frozen=True):
    """Sets of one parameter."""

    sets: int

    def values(self, number: int) -> dict[str, int | float]:
        """The parameters of a set."""
        return {"sl_percent": round(0.2 + 2.0 * number / self.sets, 6)}


def small_tape(candles: int = 300) -> Tape:
    """A day of one symbol, on 5 minutes."""
    return market(Recipe(seed=5, candles=candles, timeframe_ms=FIVE_MINUTES_MS, move_percent=0.4))


def plan(sets: int = 40, code: str = CODE, tape: str = "t" * 32, risk: float = 10_000.0) -> StudyPlan:
    """The plan of a study over the small tape."""
    space = SpaceView((Axis("sl_percent", tuple(Grid(sets).values(n)["sl_percent"] for n in range(sets))),), sets=sets)
    return StudyPlan(
        "small", STRATEGY, code, tape, ("AAA",), FIVE_MINUTES_MS, DAY_0_MS, DAY_0_MS + 50 * HOUR_MS, 600, space, {},
        {**asdict(SETTINGS.risk), "capital_usdt": risk},
    )  # fmt: skip


def task(tape_digest: str, numbers: Sequence[int], span_id: int = 0, sets: int = 40) -> StudyTask:
    """Some sets of the small study by CPython."""
    return StudyTask(
        "", STRATEGY, None, CODE, tape_digest, SETTINGS, Grid(sets), span_id, SPANS[span_id], numbers, "python",
        versions=versions(),
    )  # fmt: skip


def result(number: int, days: int = 3) -> SetResult:
    """Figures that follow from the number of a set."""
    random = Random(number)
    equities = array("d", [10_000.0 + random.gauss(0.0, 100.0) for _ in range(days)])
    usdt, counts = [random.uniform(-100.0, 100.0) for _ in range(8)], [random.randrange(100) for _ in range(7)]
    return SetResult._make([*usdt[:4], 5, *usdt[4:], *counts, equities.tobytes()])


def outcome(numbers: Sequence[int], span_id: int = 0, machine: str = "here") -> TaskOutcome:
    """The results of a chunk."""
    return TaskOutcome(span_id, numbers, [result(number) for number in numbers], machine, 0.1, {})


class Deadly(Struct, frozen=True):
    """Sets one of which kills the process that asks for its values, as machine code that goes wrong does.

    With a file, only the first process that asks dies, and leaves the file.
    """

    sets: int
    deadly: int
    file: str = ""

    def values(self, number: int) -> dict[str, int | float]:
        """The parameters of a set."""
        if number == self.deadly and not (self.file and Path(self.file).exists()):
            if self.file:
                Path(self.file).touch()
            os.kill(os.getpid(), signal.SIGSEGV)
        return Grid(self.sets).values(number)
