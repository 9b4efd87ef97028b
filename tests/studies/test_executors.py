"""What the executors of this machine promise: every task's outcome, whatever dies in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from papertape.events.errors import WorkerRefused
from papertape.studies.execution import execute
from papertape.studies.executors.here import Here
from papertape.studies.executors.processes import Processes
from papertape.studies.store import StudyStore
from papertape.studies.tape_store import TapeStore
from papertape.studies.tasks import TaskFailure, TaskOutcome
from tests.studies.chores import SPANS, Deadly, plan, small_tape, task

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from papertape.engine.research.set_result import SetResult

pytestmark = pytest.mark.system

SETS = 20


@pytest.fixture(scope="module")
def tapes(tmp_path_factory: pytest.TempPathFactory) -> TapeStore:
    """The small tape, stored."""
    return TapeStore(tmp_path_factory.mktemp("tapes"))


@pytest.fixture(scope="module")
def digest(tapes: TapeStore) -> str:
    """The digest of the small tape."""
    return tapes.put(small_tape())


@pytest.fixture(scope="module")
def processes(tapes: TapeStore) -> Iterator[Processes]:
    """Two processes."""
    made = Processes(tapes, 2)
    yield made
    made.close()


@pytest.fixture(scope="module")
def expected(tapes: TapeStore, digest: str) -> dict[int, SetResult]:
    """The results of all sets over the second half of the tape, from this process."""
    [found] = Here(tapes).run([task(digest, range(SETS), 2, SETS)])
    assert isinstance(found, TaskOutcome)
    assert any(result.trades for result in found.results)
    return dict(zip(found.numbers, found.results, strict=True))


def results_of(found: Sequence[TaskOutcome | TaskFailure]) -> dict[int, SetResult]:
    """All results by number."""
    chunks = [one for one in found if isinstance(one, TaskOutcome)]
    return {n: r for one in chunks for n, r in zip(one.numbers, one.results, strict=True)}


def test_processes_give_what_this_process_gives(
    processes: Processes, tapes: TapeStore, digest: str, expected: dict[int, SetResult], tmp_path: Path
) -> None:
    with StudyStore.create(tmp_path / "small.db", plan(SETS, tape=digest), 1) as store:
        store.spans(SPANS)
        sizes = [len(one.numbers) for one in execute(store, processes, task(digest, (), sets=SETS), [2], range(SETS))]
        stored = {number: result for number, result, _ in store.rows(2)}
        assert sum(sizes) == SETS and sizes[0] <= 8
        assert [*execute(store, Here(tapes), task(digest, ()), [2], range(SETS))] == []
    assert {n: result._replace(day_equities=b"") for n, result in expected.items()} == stored


def test_a_killed_process_costs_a_repetition_and_a_deadly_task_is_reported_while_the_others_run(
    processes: Processes, digest: str, expected: dict[int, SetResult], tmp_path: Path
) -> None:
    once, always = Deadly(SETS, 5, str(tmp_path / "died")), Deadly(SETS, 13)
    tasks = [replace(task(digest, range(at, at + 5), 2), space=once if at < 10 else always) for at in range(0, SETS, 5)]
    found = [*processes.run(tasks)]
    assert (tmp_path / "died").exists()
    [failure] = [one for one in found if isinstance(one, TaskFailure)]
    assert (failure.numbers, failure.error) == (range(10, 15), "its process ended with SIGSEGV")
    assert results_of(found) == {number: result for number, result in expected.items() if number not in range(10, 15)}


def test_other_code_ends_the_study_with_both_digests(processes: Processes, digest: str) -> None:
    other = replace(task(digest, range(4)), code_digest="0" * 32)
    with pytest.raises(WorkerRefused, match=rf"{task(digest, ()).code_digest}.*0{{32}}"):
        [*processes.run([other])]
