"""Tasks on a cluster: the workers of a `dask.distributed` scheduler, on this machine or on others.

Tasks are small and pure: whatever is lost, with a worker, the scheduler or the connection, is run again. What a worker
runs is importable there, so that it keeps what it prepared; only digests and numbers are sent by value. A tape
is sent once to each worker that lacks it.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from distributed import Client, Future, KilledWorker, get_worker, wait
from distributed.comm.core import CommClosedError
from msgspec import Struct

from papertape.events.errors import PapertapeError, SchedulerGone, StudyMissing, TapeDamaged, WorkerRefused
from papertape.studies.executors.alone import run_alone
from papertape.studies.tape_store import TapeStore
from papertape.studies.tasks import StudyTask, TaskFailure, TaskOutcome, attempt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LOST: Final = (CancelledError, CommClosedError, OSError, TimeoutError)
"""What the client raises when its scheduler is gone."""
POLL_S: Final = 1.0
LOGGERS: Final = ("distributed", "distributed.client", "tornado.application")
RETRY_S: Final = 0.5
CONNECT_S: Final = 5.0
RESULT_S: Final = 60.0
PATIENCE_S: Final = 60.0
SHIPMENTS_MAX: Final = 10
"""Two tasks of one worker may ask for the same tape; after this many requests it is not going to arrive."""
DONE: Final = ("finished", "error", "cancelled")


class TapeRequest(Struct, frozen=True):
    """The answer of a worker that lacks the tape of its task."""

    worker: str


def run_on_worker(task: StudyTask) -> TaskOutcome | TaskFailure | TapeRequest:
    """Run a task on a worker; ask for its tape if that is missing or damaged there."""
    worker = get_worker()
    tapes = _tapes_of(worker)
    try:
        return attempt(task, tapes)
    except (StudyMissing, TapeDamaged):
        tapes.forget(task.tape_digest)
        return TapeRequest(worker.address)


def store_tape(digest: str, content: bytes, dask_worker: Any) -> None:
    """Store a tape on a worker. Raise TapeDamaged if it was damaged in transit."""
    _tapes_of(dask_worker).add(digest, content)


def _tapes_of(worker: Any) -> TapeStore:
    """Return the store in a worker's own folder, which is deleted with the worker."""
    return TapeStore(Path(worker.local_directory) / "tapes")


class DaskCluster:
    """The workers of the scheduler at an address such as `tcp://host:8786`.

    Without scheduler or workers it waits for `patience_s`, then raises SchedulerGone.
    """

    def __init__(self, tapes: TapeStore, address: str, patience_s: float = PATIENCE_S) -> None:
        for name in LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL)  # What is lost is run again, or raised by name.
        self._tapes, self._address, self._patience_s = tapes, address, patience_s
        self._threads, self._shipments = 1, dict[str, int]()
        self._client = self._connect()

    @property
    def in_flight_max(self) -> int:
        """Two tasks for each worker, so that none waits for the next."""
        return 2 * max(1, self._threads)

    def run(self, tasks: Iterable[StudyTask]) -> Iterator[TaskOutcome | TaskFailure]:
        """Run tasks on the workers; see `Executor`."""
        source, again, running = iter(tasks), deque[StudyTask](), dict[Future, StudyTask]()
        while True:
            for _ in range(self.in_flight_max - len(running)):
                task = again.popleft() if again else next(source, None)
                if task is None:
                    break
                running[self._client.submit(run_on_worker, task, pure=False)] = task
            if not running:
                return
            self._wait(running)
            for future in [future for future in running if future.status in DONE]:
                task = running.pop(future)
                answer = self._answer(future, task)
                if isinstance(answer, TaskOutcome | TaskFailure):
                    yield answer
                    continue
                again.append(task)
                if isinstance(answer, TapeRequest):
                    self._ship(task.tape_digest, answer.worker)
            if self._client.status != "running":
                again.extend(running.values())
                running.clear()
                self.close()
                self._client = self._connect()

    def close(self) -> None:
        """Disconnect from the cluster; its workers keep running."""
        with suppress(*LOST):
            self._client.close(timeout=CONNECT_S)

    def _connect(self) -> Client:
        """Return a client of a scheduler with workers, and wait for both. Raise SchedulerGone."""
        ends_s = time.monotonic() + self._patience_s
        while True:
            try:
                client = Client(self._address, timeout=CONNECT_S, set_as_default=False)
            except LOST as error:
                if time.monotonic() > ends_s:
                    text = f"the scheduler {self._address} did not answer for {self._patience_s:g} s"
                    raise SchedulerGone(text) from error
                time.sleep(RETRY_S)
                continue
            try:
                client.wait_for_workers(1, timeout=max(RETRY_S, ends_s - time.monotonic()))
                self._threads = sum(client.nthreads().values())
            except LOST as error:
                client.close(timeout=CONNECT_S)
                if time.monotonic() > ends_s:
                    raise SchedulerGone(f"the scheduler {self._address} has no workers") from error
            else:
                return client

    def _wait(self, running: dict[Future, StudyTask]) -> None:
        """Wait until a task is done or the connection is lost. Raise SchedulerGone if no worker is left."""
        worked_s = time.monotonic()
        while self._client.status == "running":
            try:
                with self._client.as_current():
                    wait(list(running), timeout=POLL_S, return_when="FIRST_COMPLETED")
            except TimeoutError:
                with suppress(*LOST):
                    self._threads = sum(self._client.nthreads().values())
                    worked_s = time.monotonic() if self._threads else worked_s
                if time.monotonic() > worked_s + self._patience_s:
                    text = f"the scheduler {self._address} has had no workers for {self._patience_s:g} s"
                    raise SchedulerGone(text) from None
            except LOST:
                return
            else:
                return

    def _answer(self, future: Future, task: StudyTask) -> TaskOutcome | TaskFailure | TapeRequest | None:
        """Return what became of a task that is done, None if it is lost. Raise what ends the study."""
        if future.status == "finished":
            with suppress(*LOST):
                answer: TaskOutcome | TaskFailure | TapeRequest = future.result(timeout=RESULT_S)
                return answer
            return None
        if future.status == "cancelled":
            return None
        error = future.exception()
        if isinstance(error, KilledWorker):
            return run_alone(task, self._tapes)
        if isinstance(error, PapertapeError):
            raise error
        if isinstance(error, ImportError):
            raise WorkerRefused(f"a worker cannot import what the study runs: {error}") from error
        return TaskFailure(task.span_id, task.numbers, f"{type(error).__name__}: {error}")

    def _ship(self, digest: str, worker: str) -> None:
        """Send a tape to a worker. Raise TapeDamaged if that keeps failing."""
        shipments = self._shipments[worker] = self._shipments.get(worker, 0) + 1
        content = self._tapes.content(digest)
        try:
            answers = self._client.run(store_tape, digest, content, workers=[worker], on_error="return")
        except LOST:
            return  # The worker or the scheduler is gone.
        if shipments >= SHIPMENTS_MAX:
            raise TapeDamaged(f"the tape {digest} was sent to worker {worker} {shipments} times: {answers.get(worker)}")
