"""A task: whose code it may run, what it keeps, and how the work of a study is cut into tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from papertape.engine.research.set_runs import SetRunner
from papertape.engine.strategy_registry import code_digest, load_strategies, load_strategy
from papertape.events.errors import WorkerRefused
from papertape.studies import tasks
from papertape.studies.execution import Chunks, execute
from papertape.studies.executors.here import Here
from papertape.studies.plan import Experiment
from papertape.studies.space import Space
from papertape.studies.store import StudyStore
from papertape.studies.tape_store import TapeStore
from papertape.studies.tasks import TaskOutcome, run_task
from tests.build import FIVE_MINUTES_MS
from tests.reducer.random_market import Recipe, market
from tests.studies.chores import CODE, SETTINGS, SPANS, outcome, plan, small_tape, task
from tests.support import SCRIPTED_FOLDER

if TYPE_CHECKING:
    from pathlib import Path

SCRIPTED = load_strategy(SCRIPTED_FOLDER / "scripted.py")


class Stops:
    """Sets of the scripted strategy."""

    def values(self, number: int) -> dict[str, int | float]:
        """The parameters of a set."""
        return {"stop_percent": 0.5 + number}


def test_an_own_strategy_travels_with_its_source(tmp_path: Path) -> None:
    tapes = TapeStore(tmp_path)
    tape = market(Recipe(3, candles=200, told_of=0.2))
    own = replace(
        task(tapes.put(tape), range(3)),
        strategy="scripted",
        source=SCRIPTED.source,
        code_digest=code_digest([SCRIPTED]),
        space=Stops(),
    )
    expected = SetRunner(tapes.get(own.tape_digest), {"scripted": SCRIPTED}, "scripted", SETTINGS, "python")
    found = run_task(own, tapes)
    assert found.results == expected.run([Stops().values(number) for number in range(3)], SPANS[0])
    assert any(result.trades for result in found.results)
    edited = SCRIPTED.source + "\n# edited in the middle of a study\n"
    with pytest.raises(WorkerRefused, match=rf"scripted here is [0-9a-f]{{32}}, .* with {own.code_digest}"):
        run_task(replace(own, source=edited, engine="auto"), tapes)


def test_a_shipped_strategy_whose_file_was_edited_is_refused_with_both_digests(tmp_path: Path) -> None:
    tapes = TapeStore(tmp_path)
    begun = replace(task(tapes.put(small_tape()), range(3)), code_digest="e" * 32)
    with pytest.raises(WorkerRefused, match=f"{CODE}.*e{{32}}"):
        run_task(begun, tapes)


def test_a_process_keeps_the_last_four_prepared_markets(tmp_path: Path) -> None:
    tapes = TapeStore(tmp_path)
    for seed in range(6):
        tape = market(Recipe(seed, candles=10, timeframe_ms=FIVE_MINUTES_MS))
        run_task(task(tapes.put(tape), range(1)), tapes)
    assert len(tasks._runners) == tasks.RUNNERS_MAX


def test_tasks_grow_by_what_was_measured_and_come_span_by_span(tmp_path: Path) -> None:
    with StudyStore.create(tmp_path / "small.db", plan(5_000), 1) as store:
        store.spans(SPANS)
        store.add(outcome([0, 1, 2]))
        chunks = Chunks(task("", ()), store, [0, 2], range(5_000), 2, lambda: False)
        sizes, numbers = [], {0: [0, 1, 2], 2: []}
        for one in chunks:
            sizes.append(len(one.numbers))
            assert one.span == SPANS[one.span_id]
            numbers[one.span_id] += one.numbers
            took_s = len(one.numbers) / 1_000.0
            chunks.measure(TaskOutcome(one.span_id, one.numbers, [], "", took_s, {}))
        assert numbers == {0: [*range(5_000)], 2: [*range(5_000)]}
        assert sizes[:5] == [8, 64, 512, 1_000, 1_000]
        chunks.measure(TaskOutcome(0, range(100), [], "", 400.0, {}))
        assert chunks._size == 1


def test_the_engine_is_chosen_for_all_runs_of_a_study_not_for_its_first_task() -> None:
    experiment = Experiment(load_strategies()["funding"], SETTINGS, small_tape(), Space(()), "")
    assert experiment.engine_for(1) == "auto"
    assert experiment.engine_for(100_000) == "compiled"
    printing = replace(experiment.strategy, source="print(1)")
    assert replace(experiment, strategy=printing).engine_for(100_000) == "auto"
    assert replace(experiment, engine="python").engine_for(100_000) == "python"


def test_a_study_that_is_stopped_stores_what_is_open_and_is_resumed_with_the_rest(tmp_path: Path) -> None:
    tapes = TapeStore(tmp_path)
    digest = tapes.put(small_tape())
    with StudyStore.create(tmp_path / "small.db", plan(12, tape=digest), 1) as store:
        store.spans(SPANS)
        template, done = task(digest, (), sets=12), list[object]()
        done.extend(execute(store, Here(tapes), template, [2], range(12), lambda: len(store.rows(2)) > 0))
        assert len(done) == 1
        assert store.missing(2, range(12)) == [*range(8, 12)]
        assert [len(one.numbers) for one in execute(store, Here(tapes), template, [2], range(12))] == [4]
        assert store.missing(2, range(12)) == []
