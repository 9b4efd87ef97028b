"""A task in a fresh process of its own, to see whether the task is what ends its processes."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from os import _exit
from typing import TYPE_CHECKING

from papertape.studies.tasks import StudyTask, TaskFailure, TaskOutcome, attempt

if TYPE_CHECKING:
    from papertape.studies.tape_store import TapeStore

SPAWN = multiprocessing.get_context("spawn")
"""A fork would copy the locks that threads hold at that moment."""


def run_alone(task: StudyTask, tapes: TapeStore) -> TaskOutcome | TaskFailure:
    """Run a task in a fresh process, and return a failure that says how the process ended if it gives no answer."""
    ours, theirs = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=_answer, args=(theirs, task, tapes))
    process.start()
    theirs.close()
    with ours:
        try:
            answer: TaskOutcome | TaskFailure = ours.recv()
        except EOFError:
            process.join()
            answer = TaskFailure(task.span_id, task.numbers, f"its process ended with {_ending(process.exitcode)}")
    process.join()
    return answer


def begin_worker() -> None:
    """Prepare a worker process: leave Ctrl-C to its parent, and end when the parent does, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _answer(connection: Connection, task: StudyTask, tapes: TapeStore) -> None:
    begin_worker()
    connection.send(attempt(task, tapes))


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker has a parent"
    wait([parent.sentinel])
    _exit(1)


def _ending(exit_code: int | None) -> str:
    """Return how a process ended: the name of the signal, or the exit code."""
    if exit_code is not None and exit_code < 0:
        with suppress(ValueError):
            return signal.Signals(-exit_code).name
    return f"exit code {exit_code}"
