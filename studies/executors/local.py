"""The executor of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.studies.executors.here import Here

if TYPE_CHECKING:
    from papertape.studies.executors.port import Executor
    from papertape.studies.tape_store import TapeStore


def local_executor(tapes: TapeStore, jobs: int, *, apart: bool) -> Executor:
    """Return this process for one job, unless tasks must run `apart` from it; else processes of this machine."""
    if jobs == 1 and not apart:
        return Here(tapes)
    from papertape.studies.executors.processes import Processes  # noqa: PLC0415 - slow to import.

    return Processes(tapes, jobs)
