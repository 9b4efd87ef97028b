"""The loop of a study: cut what is missing into tasks of about a second, run them, and store each as it completes."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from papertape.studies.tasks import StudyTask, TaskFailure, TaskOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from papertape.studies.executors.port import Executor
    from papertape.studies.store import StudyStore

TASK_S: Final = 1.0
"""A second, of which the five milliseconds of a scheduler are little, and which is quickly run again."""
FIRST_SETS: Final = 8
GROWTH_MAX: Final = 8
"""How much larger than a measured task the next ones may be."""


class Chunks:
    """The tasks of some sets over some spans, span by span, so that a process prepares each span once.

    The first tasks are small; each measured one lets the next be larger. `template` is a task but for span and numbers.
    """

    def __init__(
        self,
        template: StudyTask,
        store: StudyStore,
        span_ids: Sequence[int],
        numbers: Sequence[int],
        workers: int,
        is_stopped: Callable[[], bool],
    ) -> None:
        self._template, self._store, self._span_ids, self._numbers = template, store, span_ids, numbers
        self._workers, self._is_stopped = workers, is_stopped
        self._size = FIRST_SETS

    def __iter__(self) -> Iterator[StudyTask]:
        """Yield the tasks of what is not stored, until stopped."""
        spans = self._store.all_spans()
        for span_id in self._span_ids:
            missing = self._store.missing(span_id, self._numbers)
            at = 0
            while at < len(missing) and not self._is_stopped():
                share = ceil((len(missing) - at) / self._workers)
                numbers = missing[at : at + min(self._size, share)]
                yield replace(self._template, span_id=span_id, span=spans[span_id], numbers=tuple(numbers))
                at += len(numbers)

    def measure(self, outcome: TaskOutcome) -> None:
        """Let the following tasks take about `TASK_S`, by the speed of this one."""
        sets = len(outcome.numbers)
        at_speed = int(sets * TASK_S / max(outcome.took_s, 1e-6))
        self._size = max(1, min(at_speed, GROWTH_MAX * sets))


def execute(
    store: StudyStore,
    executor: Executor,
    template: StudyTask,
    span_ids: Sequence[int],
    numbers: Sequence[int],
    is_stopped: Callable[[], bool] = lambda: False,
) -> Iterator[TaskOutcome | TaskFailure]:
    """Run and store all sets that are missing over the spans; yield each task's outcome after it is stored.

    Once `is_stopped` returns true, only the open tasks are finished. Raise like `StudyStore.add` and `Executor.run`.
    """
    chunks = Chunks(template, store, span_ids, numbers, ceil(executor.in_flight_max / 2), is_stopped)
    for finished in executor.run(chunks):
        if isinstance(finished, TaskFailure):
            store.add_failure(finished)
        else:
            chunks.measure(finished)
            store.add(finished)
        yield finished
