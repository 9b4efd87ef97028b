"""The port that every executor implements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from papertape.studies.tasks import StudyTask, TaskFailure, TaskOutcome


class Executor(Protocol):
    """Runs tasks, and takes new ones as earlier ones complete: at most `in_flight_max` are open."""

    @property
    def in_flight_max(self) -> int:
        """The number of open tasks that keeps all workers busy."""
        ...

    def run(self, tasks: Iterable[StudyTask]) -> Iterator[TaskOutcome | TaskFailure]:
        """Yield what became of each task, as they complete, in any order; the same outcome may come twice.

        Raise WorkerRefused for a worker with other code or libraries, SchedulerGone, or TapeDamaged.
        """
        ...

    def close(self) -> None:
        """End the workers that belong to this executor."""
        ...
