"""A study on more cores: two processes against one, and what it costs to hand a task over."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from benchmarks import market
from benchmarks.measure import Bench, Result
from papertape.engine.research.set_result import TradedSpan
from papertape.engine.research.tape import tape_of
from papertape.engine.strategy_registry import code_digest
from papertape.studies.executors.processes import Processes
from papertape.studies.tape_store import TapeStore
from papertape.studies.tasks import StudyTask, TaskOutcome, versions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from papertape.studies.executors.port import Executor

STRATEGY = "momentum"
TARGET = 1.8
TASKS = 8
EMPTY_TASKS = 200
TASK_S = 1.0


class Lookbacks(Struct, frozen=True):
    """Sets of two parameters of momentum."""

    def values(self, number: int) -> dict[str, int | float]:
        """Return the parameters of a set."""
        return {"breakout_lookback": 10 + number % 10 * 5, "sl_percent": 0.2 + number // 10 % 100 * 0.01}


def template(tapes: TapeStore, days: int) -> StudyTask:
    """Return a task without sets over a stored tape."""
    strategy = market.strategies()[STRATEGY]
    settings = market.runners(STRATEGY)[STRATEGY]
    digest = tapes.put(tape_of(market.feed(days)))
    code = code_digest([strategy])
    return StudyTask(
        *("", STRATEGY, None, code, digest, settings, Lookbacks(), 0, TradedSpan(), (), "compiled"),
        versions=versions(),
    )


def seconds(executor: Executor, tasks: Sequence[StudyTask]) -> float:
    """Return how long an executor takes for tasks."""
    started = time.perf_counter()
    done = [*executor.run(tasks)]
    assert all(isinstance(one, TaskOutcome) for one in done)
    return time.perf_counter() - started


@contextmanager
def warm(executor: Executor, task: StudyTask, jobs: int) -> Iterator[Executor]:
    """Yield an executor all of whose processes have prepared the tape."""
    for _ in executor.run([task] * 4 * jobs):
        pass
    yield executor
    executor.close()


def scaling(bench: Bench) -> Result:
    """Measure the same tasks in one process and in two, by turns, and empty ones through each executor there is."""
    result = Result("scaling", "a study in two processes against one")
    tapes, rounds = TapeStore(bench.folder / "tapes"), bench.choose(1, 5)
    empty = template(tapes, bench.choose(2, 70))
    few = _with_sets(empty, 0, 4)
    with warm(Processes(tapes, 1), few, 1) as one, warm(Processes(tapes, 2), few, 2) as two:
        [measured] = one.run([_with_sets(empty, 0, bench.choose(2, 50))])
        assert isinstance(measured, TaskOutcome)
        sets = max(1, int(len(measured.numbers) * (0.05 if bench.quick else TASK_S) / measured.took_s))
        tasks = [_with_sets(empty, place * sets, sets) for place in range(TASKS)]
        times = [(seconds(one, tasks), seconds(two, tasks)) for _ in range(rounds)]
        overhead = {"a process": seconds(two, [empty] * EMPTY_TASKS)}
    best = max(alone / together for alone, together in times)
    text = ", ".join(f"{alone:.2f} / {together:.2f}" for alone, together in times)
    result.add("one process / two, s", text)
    result.add("ratio of the best round", f"{best:.2f}x", f">= {TARGET}x", best >= TARGET)
    overhead["a worker of dask"] = _dask_overhead(tapes, empty)
    for where, spent in overhead.items():
        result.add(f"an empty task through {where}", f"{spent / EMPTY_TASKS * 1e3:.1f} ms of {TASK_S * 1e3:.0f}")
    result.notes.append(f"{TASKS} tasks of {sets} sets of {STRATEGY}; wall time, so run it on a quiet machine")
    return result


def _with_sets(task: StudyTask, first: int, count: int) -> StudyTask:
    return replace(task, numbers=range(first, first + count))


def _dask_overhead(tapes: TapeStore, empty: StudyTask) -> float:
    """Return the seconds of the empty tasks on a scheduler with two workers of this machine."""
    from distributed import LocalCluster  # noqa: PLC0415 - belongs to an extra

    from papertape.studies.executors.dask import DaskCluster  # noqa: PLC0415 - likewise

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        with_two = warm(DaskCluster(tapes, cluster.scheduler_address), empty, 2)
        with with_two as executor:
            return seconds(executor, [empty] * EMPTY_TASKS)
