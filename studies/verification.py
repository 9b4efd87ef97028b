"""Run some sets of a study again, fact by fact, and compare every figure with the stored one."""

from __future__ import annotations

import random
from array import array
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from papertape.engine.research.long_way import run_long_way

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from papertape.engine.research.set_result import SetResult, TradedSpan
    from papertape.studies.plan import Experiment
    from papertape.studies.store import StudyStore

SHARE: Final = 100
"""One set in a hundred is run again."""
SETS_MIN: Final = 3


class ResultDifference(Struct, frozen=True):
    """A figure of a set over a span that is not what it was."""

    span_id: int
    number: int
    figure: str
    stored: float
    again: float


class Verification(Struct, frozen=True):
    """How many sets over how many spans were run again, and what differs."""

    sets: int
    runs: int
    differences: tuple[ResultDifference, ...]


def verify_results(
    experiment: Experiment, store: StudyStore, on_run: Callable[[int], None] = lambda _: None
) -> Verification:
    """Run 1 % of the sets again over every span, and compare. `on_run` receives the number of runs done."""
    sample = sampled_sets(experiment.space.numbers(), store.key)
    engine = experiment.engine_for(len(sample) * len(store.all_spans()))
    differences: list[ResultDifference] = []
    runs = 0
    for span_id, span in store.all_spans().items():
        days = dict(zip(*store.days(span_id), strict=True))
        for number, stored, _ in store.rows(span_id):
            if number in sample:
                again = _run(experiment, number, span, engine)
                differences += _compare(span_id, number, stored, again)
                differences += _compare_days(span_id, number, days.get(number), again)
                runs += 1
                on_run(runs)
    return Verification(len(sample), runs, tuple(differences))


def sampled_sets(numbers: Sequence[int], key: str) -> frozenset[int]:
    """Return the sets that are run again; the study's key selects them."""
    chance = random.Random(key)  # noqa: S311 - a sample, not a secret.
    count = min(len(numbers), max(SETS_MIN, len(numbers) // SHARE))
    return frozenset(chance.sample(numbers, count))


def _run(experiment: Experiment, number: int, span: TradedSpan, engine: str) -> SetResult:
    strategy, values = experiment.strategy, experiment.space.values(number)
    return run_long_way(
        experiment.tape, {strategy.name: strategy}, strategy.name, experiment.settings, values, span, engine
    )


def _compare(span_id: int, number: int, stored: SetResult, again: SetResult) -> list[ResultDifference]:
    """Return the figures that differ; which way a set was run is not one of them."""
    return [
        ResultDifference(span_id, number, name, getattr(stored, name), getattr(again, name))
        for name in stored._fields
        if name not in ("long_way", "day_equities") and getattr(stored, name) != getattr(again, name)
    ]


def _compare_days(
    span_id: int, number: int, stored: Sequence[float] | None, again: SetResult
) -> list[ResultDifference]:
    """Return the days whose equity differs, if the study keeps those of the set."""
    if stored is None:
        return []
    days = array("d", again.day_equities)
    if len(days) != len(stored):
        return [ResultDifference(span_id, number, "days", len(stored), len(days))]
    pairs = enumerate(zip(stored, days, strict=True))
    return [
        ResultDifference(span_id, number, f"equity of day {day}", float(old), new)
        for day, (old, new) in pairs
        if old != new
    ]
