"""Tasks in this process, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.studies.tasks import attempt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from papertape.studies.tape_store import TapeStore
    from papertape.studies.tasks import StudyTask, TaskFailure, TaskOutcome


class Here:
    """This process."""

    in_flight_max = 1

    def __init__(self, tapes: TapeStore) -> None:
        self._tapes = tapes

    def run(self, tasks: Iterable[StudyTask]) -> Iterator[TaskOutcome | TaskFailure]:
        """Run one task after the other; see `Executor`."""
        for task in tasks:
            yield attempt(task, self._tapes)

    def close(self) -> None:
        """Do nothing: this process belongs to the caller."""
