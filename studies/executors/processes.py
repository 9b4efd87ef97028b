"""Tasks in processes of this machine, one core each."""

from __future__ import annotations

from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Final

from papertape.studies.executors.alone import SPAWN, begin_worker, run_alone
from papertape.studies.tasks import StudyTask, TaskFailure, TaskOutcome, attempt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from papertape.studies.tape_store import TapeStore

DEATHS_MAX: Final = 2
"""A task that was open at this many deaths of a process is run alone, to see whether it is the cause."""


class _Attempt:
    """A task, and how often the processes died while it was open."""

    def __init__(self, task: StudyTask) -> None:
        self.task, self.deaths = task, 0


class Processes:
    """`jobs` worker processes. If one dies, all are replaced, and the open tasks are run again."""

    def __init__(self, tapes: TapeStore, jobs: int) -> None:
        self._tapes, self._jobs = tapes, jobs
        self.in_flight_max = 2 * jobs
        self._pool = self._new_pool()
        self._compiled = False

    def run(self, tasks: Iterable[StudyTask]) -> Iterator[TaskOutcome | TaskFailure]:
        """Run tasks side by side; see `Executor`.

        The first one runs by itself: what it compiles, the other processes then load.
        """
        source, again, running = (
            map(_Attempt, tasks),
            deque[_Attempt](),
            dict[Future[TaskOutcome | TaskFailure], _Attempt](),
        )
        while True:
            self._submit(source, again, running)
            if not running:
                return
            wait(running, return_when=FIRST_COMPLETED)
            if any(isinstance(future.exception(), BrokenProcessPool) for future in running if future.done()):
                wait(running)
            lost = []
            for future in [future for future in running if future.done()]:
                one, error = running.pop(future), future.exception()
                if isinstance(error, BrokenProcessPool):
                    lost.append(one)
                elif error is not None:
                    raise error
                else:
                    self._compiled = True
                    yield future.result()
            if lost:
                self._renew_pool()
                for one in lost:
                    one.deaths += 1
                    if one.deaths < DEATHS_MAX:
                        again.append(one)
                    else:
                        yield run_alone(one.task, self._tapes)

    def close(self) -> None:
        """End the processes after the tasks that they are running."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _submit(
        self,
        source: Iterator[_Attempt],
        again: deque[_Attempt],
        running: dict[Future[TaskOutcome | TaskFailure], _Attempt],
    ) -> None:
        """Submit tasks until enough are open. Lost ones come first, one at a time, so that the next death names one."""
        while len(running) < self._limit(again, running):
            one = again.popleft() if again else next(source, None)
            if one is None:
                return
            try:
                running[self._pool.submit(attempt, one.task, self._tapes)] = one
            except BrokenProcessPool:
                again.appendleft(one)
                if running:
                    return  # They are lost too, which is counted there.
                self._renew_pool()

    def _limit(self, again: deque[_Attempt], running: dict[Future[TaskOutcome | TaskFailure], _Attempt]) -> int:
        suspected = again or any(one.deaths for one in running.values())
        return 1 if suspected or not self._compiled else self.in_flight_max

    def _new_pool(self) -> ProcessPoolExecutor:
        """Return a pool whose processes are starting."""
        pool = ProcessPoolExecutor(self._jobs, mp_context=SPAWN, initializer=begin_worker)
        for _ in range(self._jobs):
            pool.submit(int)
        return pool

    def _renew_pool(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = self._new_pool()
