"""A small study in a process of its own: `-m tests.studies.study_process FOLDER NAME here|processes|ADDRESS`.

It prints a line when it begins, with every chunk and when it is complete, then its digest, or the error that ended it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from papertape.events.errors import StudyError
from papertape.studies.execution import execute
from papertape.studies.executors.here import Here
from papertape.studies.executors.processes import Processes
from papertape.studies.store import StudyStore
from papertape.studies.tape_store import TapeStore
from tests.studies.chores import SPANS, plan, small_tape, task

if TYPE_CHECKING:
    from papertape.studies.executors.port import Executor

SETS = 12


def executor(tapes: TapeStore, name: str) -> Executor:
    """The executor of a name."""
    if name == "here":
        return Here(tapes)
    if name == "processes":
        return Processes(tapes, 2)
    from papertape.studies.executors.dask import DaskCluster  # noqa: PLC0415 - belongs to an extra

    return DaskCluster(tapes, name, patience_s=120.0)


def run(folder: Path, name: str, executor_name: str) -> str:
    """Run or resume the study; its digest."""
    tapes = TapeStore(folder / "tapes")
    digest = tapes.put(small_tape())
    with StudyStore.create(folder / f"{name}.db", plan(SETS, tape=digest), 1) as store:
        ids = store.spans(SPANS)
        workers = executor(tapes, executor_name)
        print("running", flush=True)
        for _ in execute(store, workers, task(digest, (), sets=SETS), ids, range(SETS)):
            print("stored", flush=True)
        workers.close()
        print("complete")
        return store.digest()


if __name__ == "__main__":
    try:
        print(run(Path(sys.argv[1]), *sys.argv[2:4]))
    except StudyError as error:
        print(f"{type(error).__name__}: {error}")
        sys.exit(1)
