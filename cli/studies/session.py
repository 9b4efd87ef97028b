"""Run a study from the command line to its verdict: announce it, run it, survive Ctrl-C, conclude, show."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import contextmanager
from importlib.util import find_spec
from multiprocessing import active_children
from typing import TYPE_CHECKING, Final

import typer
from msgspec import Struct

from papertape.cli import INTERRUPTED
from papertape.cli.environment.streams import write_message
from papertape.cli.render.console import emit, fields_of
from papertape.cli.render.study import BETS, show_study
from papertape.cli.studies.interrupts import Interrupts
from papertape.cli.studies.progress import json_chunk, status, study_progress, warn_of_failure
from papertape.cli.wiring import note, warn
from papertape.engine.ports.clock import SystemClock
from papertape.events.errors import SchedulerGone, StrategyFault, UsageError, WorkerRefused
from papertape.projections.studies.reader import studies_folder
from papertape.studies.conclude import WHOLE
from papertape.studies.conclusion import conclude_study
from papertape.studies.executors.local import local_executor
from papertape.studies.ledger import TrialLedger
from papertape.studies.running import StudyRun
from papertape.studies.tape_store import TapeStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from papertape.cli.config.sections import Config
    from papertape.projections.studies.document import Document
    from papertape.studies.conclusion import WalkForward
    from papertape.studies.executors.port import Executor
    from papertape.studies.pace import Estimate
    from papertape.studies.plan import Experiment
    from papertape.studies.store import StudyStore

SHORT_S: Final = 3.0
"""Work as short as this is not worth the start of processes, which takes a second or two."""
NOT_A_BET: Final = 1


class RunningOptions(Struct, frozen=True):
    """The options of the command line that say where a study runs and how it reports."""

    jobs: int | None
    scheduler: str | None
    as_json: bool


class StudyPlaces(Struct, frozen=True):
    """The folders of the studies and of their tapes, beside the log."""

    studies: Path
    tapes: Path

    def file(self, name: str) -> Path:
        """Return the file of a study."""
        return self.studies / f"{name}.db"

    @property
    def tape_store(self) -> TapeStore:
        """The tapes."""
        return TapeStore(self.tapes)

    @property
    def ledger(self) -> TrialLedger:
        """The ledger of trials."""
        return TrialLedger(self.studies)


def study_places(config: Config) -> StudyPlaces:
    """Return the folders beside the log of a configuration."""
    folder = studies_folder(config.database)
    return StudyPlaces(folder, folder.parent / "tapes")


class OpenStudy(Struct):
    """A study that this process may write, and the line that resumes it."""

    experiment: Experiment
    store: StudyStore
    places: StudyPlaces
    resume: str


def check_running(options: RunningOptions) -> None:
    """Raise UsageError for options that exclude each other."""
    if options.jobs is not None and options.scheduler is not None:
        raise UsageError("--jobs is for this machine; with --scheduler the cluster's workers run the sets")


def conduct(study: OpenStudy, forward: WalkForward, options: RunningOptions) -> None:
    """Run what is missing, conclude, store and show the verdict; exit with 0 for a bet, 1 for anything else.

    Sets that failed before are tried again. If one did, or if the process of an earlier run died, no set runs in this
    process: it may be what a set does. After Ctrl-C exit with 130 and print the path and the line that resumes the
    study.
    """
    with resumable(study):
        apart = study.store.begin(now_ms(), study.resume)
        run = StudyRun(study.experiment, study.store, study.places.ledger, forward.all_folds())
        if not _run_all(run, study.places.tape_store, options, apart=apart):
            raise KeyboardInterrupt
        _check_failures(study.store)
        with status("concluding"):
            document = conclude_study(run, forward)
        study.store.save_document(document, now_ms())
        study.store.set_state("complete", now_ms())
    show_document(study.store, document, as_json=options.as_json)
    raise typer.Exit(0 if document.verdict.outcome in BETS else NOT_A_BET)


def show_document(store: StudyStore, document: Document, *, as_json: bool) -> None:
    """Show the conclusions of a study."""
    if as_json:
        place = {"type": "study", "study": store.plan.name, "path": store.path, "key": store.key}
        emit({**place, "plan": fields_of(store.plan), "document": fields_of(document)})
        return
    show_study(store.plan, document, store.path)


def command_line(study: str) -> str:
    """Return the command line of this process as it would be typed, with the name of its study."""
    arguments = sys.argv[1:]
    named = [] if "--study" in arguments or arguments[:1] == ["walkforward"] else ["--study", study]
    return shlex.join(["papertape", *arguments, *named])


def now_ms() -> int:
    """Return the time of this machine."""
    return SystemClock().now_ms()


def _run_all(run: StudyRun, tapes: TapeStore, options: RunningOptions, *, apart: bool) -> bool:
    """Run what is missing, `apart` from this process if necessary; return whether all of it is stored."""
    if run.missing() == 0:
        return True
    jobs = _jobs(options)
    if find_spec("numba") is None and run.experiment.engine == "auto":
        note("numba is not installed: sets run in CPython, about 100 times slower; pip install 'papertape[research]'")
    with status(f"preparing the market, compiling {run.experiment.strategy.name} if necessary"):
        executor = local_executor(tapes, 1, apart=apart)
        with _closed(executor):
            run.measure(executor, json_chunk if options.as_json else warn_of_failure)
    with Interrupts() as interrupts:
        _announce(run.estimate(jobs), as_json=options.as_json)
        executor = _executor(tapes, options, jobs, run.seconds_left(1), apart=apart)
        with _closed(executor), study_progress(run.missing(), as_json=options.as_json) as report:
            return run.run(executor, report, interrupts.is_stopped)


@contextmanager
def _closed(executor: Executor) -> Iterator[None]:
    """Close the executor in the end; after a second Ctrl-C without waiting for what its processes are running."""
    try:
        yield
    except KeyboardInterrupt:
        for process in active_children():
            process.kill()
        raise
    finally:
        executor.close()


def _check_failures(store: StudyStore) -> None:
    """Warn of sets that could not be run. Raise StrategyFault if not one could."""
    failures = store.failures()
    if failures:
        count = len({number for failure in failures for number in failure.numbers})
        warn(f"{count:,} sets could not be run and are left out: {failures[0].error}")
        if not store.rows(WHOLE):
            store.set_state("failed", now_ms())
            raise StrategyFault(f"no set of {store.plan.strategy} could be run: {failures[0].error}")


def _announce(estimate: Estimate, *, as_json: bool) -> None:
    """Say what the study takes, in one line."""
    if as_json:
        emit({"type": "estimate", **fields_of(estimate)})
        sys.stdout.flush()
    else:
        write_message(f"{estimate.words}\n", sys.stderr)


def _jobs(options: RunningOptions) -> int:
    """Return the number of processes: the given one, else the cores that this process may use."""
    if options.jobs is not None:
        return options.jobs
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _executor(tapes: TapeStore, options: RunningOptions, jobs: int, alone_s: float, *, apart: bool) -> Executor:
    """Return where the sets run: a cluster, processes of this machine, or this process for short work."""
    if options.scheduler is not None:
        from papertape.studies.executors.dask import DaskCluster  # noqa: PLC0415 - an extra, and slow to import.

        return DaskCluster(tapes, options.scheduler)
    return local_executor(tapes, 1 if options.jobs is None and alone_s < SHORT_S else jobs, apart=apart)


@contextmanager
def resumable(study: OpenStudy) -> Iterator[None]:
    """After Ctrl-C or SIGTERM, say what is stored where and how to go on, and exit with 130.

    A cluster that is gone or refuses the study is such an end too, but for the exit code.
    """
    try:
        yield
    except (SchedulerGone, WorkerRefused):
        _say_how_to_resume(study)
        raise
    except (KeyboardInterrupt, SystemExit):
        _say_how_to_resume(study)
        sys.unraisablehook = lambda _: None  # An interrupted compiler leaves objects that complain when they are freed.
        raise typer.Exit(INTERRUPTED) from None


def _say_how_to_resume(study: OpenStudy) -> None:
    study.store.set_state("interrupted", now_ms())
    write_message(f"interrupted: what was run is stored in {study.store.path}\n", sys.stderr)
    write_message(f"resume with: {study.resume}\n", sys.stderr)
