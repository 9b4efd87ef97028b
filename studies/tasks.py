"""The unit of work of a study: some sets over one span, run by any process that has the code and the tape."""

from __future__ import annotations

import atexit
import platform
import shutil
import tempfile
import time
from collections import OrderedDict
from functools import cache
from importlib import metadata
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
from msgspec import Struct

from papertape.engine.research.hook_errors import HOOK_ERRORS
from papertape.engine.research.set_result import SetResult, TradedSpan
from papertape.engine.research.set_runs import SetRunner
from papertape.engine.runner_settings import RunnerSettings
from papertape.engine.strategy_registry import code_digest, load_strategies, load_strategy, with_instances
from papertape.events.errors import WorkerRefused
from papertape.studies.day_selection import DaySelection, eligible
from papertape.studies.day_sharpes import day_sharpes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from papertape.engine.kernel.strategy import Strategy
    from papertape.studies.tape_store import TapeStore

RUNNERS_MAX: Final = 4
"""The prepared markets that a process keeps; tasks come span by span, so that few are needed."""


class ParameterSets(Protocol):
    """What numbers the sets of a study. It travels with a task, so its class must be importable."""

    def values(self, number: int) -> Mapping[str, int | float]:
        """Return the parameters of a set."""
        ...


class StudyTask(Struct, frozen=True):
    """Some sets over one span. It holds digests and numbers, no candles.

    `source` is the text of an owner's strategy, None for a shipped one; `of` and `references` are those of
    `engine.kernel.strategy.Strategy`. `versions` are the libraries of the study's process, which a worker must have.
    """

    key: str
    strategy: str
    source: str | None
    code_digest: str
    tape_digest: str
    settings: RunnerSettings
    space: Any
    span_id: int
    span: TradedSpan
    numbers: Sequence[int]
    engine: str = "auto"
    of: str = ""
    references: dict[str, str] = {}
    days: DaySelection | None = None
    versions: dict[str, str] = {}


class TaskOutcome(Struct):
    """The results of a task, in the order of `numbers`, with the Sharpe ratio of each (annualised, of daily returns).

    `took_s` is the time of the runs without loading the tape, `long_way` the sets run fact by fact, by reason.
    """

    span_id: int
    numbers: Sequence[int]
    results: list[SetResult]
    machine: str
    took_s: float
    long_way: dict[str, int]
    sharpes: list[float | None] = []


class TaskFailure(Struct):
    """A task that cannot be run: its strategy raises, or it ends every process that tries."""

    span_id: int
    numbers: Sequence[int]
    error: str


_runners: OrderedDict[bytes, SetRunner] = OrderedDict()
_running = Lock()
"""A worker may call from several threads; a runner serves one at a time."""


def run_task(task: StudyTask, tapes: TapeStore) -> TaskOutcome:
    """Run the sets of a task. Raise WorkerRefused if this process has other code or libraries than the study."""
    refuse_other_versions(task.versions)
    with _running:
        runner = _runner(task, tapes)
        sets = [task.space.values(number) for number in task.numbers]
        before, started = runner.long_way.copy(), time.perf_counter()
        results = runner.run(sets, task.span)
        took_s = time.perf_counter() - started
        long_way = dict(runner.long_way - before)
    sharpes = day_sharpes(task.settings.risk.capital_usdt, [result.day_equities for result in results])
    if task.days is not None:
        rated = [eligible(sharpe, result.trades) for sharpe, result in zip(sharpes, results, strict=True)]
        surplus = set(task.days.surplus(task.numbers, rated))
        results = [
            result._replace(day_equities=b"") if number in surplus else result
            for number, result in zip(task.numbers, results, strict=True)
        ]
    return TaskOutcome(task.span_id, task.numbers, results, machine_text(), took_s, long_way, sharpes)


def attempt(task: StudyTask, tapes: TapeStore) -> TaskOutcome | TaskFailure:
    """Run a task like `run_task`; return a failure where its strategy raises."""
    try:
        return run_task(task, tapes)
    except HOOK_ERRORS as error:
        return TaskFailure(task.span_id, task.numbers, f"{type(error).__name__}: {error}")


def versions() -> dict[str, str]:
    """Return the versions of what computes: Python, numpy and numba, "none" for what is not installed."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    return found | {name: _version(name) for name in ("numpy", "numba")}


@cache
def machine_text() -> str:
    """Return the versions and the processor of this process, as a study records them with every chunk."""
    return " ".join([platform.machine(), *(f"{name} {version}" for name, version in versions().items())])


@cache
def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"


def refuse_other_versions(expected: Mapping[str, str]) -> None:
    """Raise WorkerRefused if this process has other libraries than the study."""
    own = versions()
    others = [
        f"{name} {own.get(name)}, the study {version}" for name, version in expected.items() if own.get(name) != version
    ]
    if others:
        raise WorkerRefused(f"worker {platform.node()} has {'; '.join(others)}: install the same versions")


def _runner(task: StudyTask, tapes: TapeStore) -> SetRunner:
    """Return the runner of a task's strategy, tape and settings, prepared before or new."""
    parts = (task.strategy, task.of, task.references, task.code_digest, task.tape_digest, task.settings, task.engine)
    place = msgspec.msgpack.encode(parts)
    if place in _runners:
        _runners.move_to_end(place)
        return _runners[place]
    strategies = with_instances(_strategies(task), {task.strategy: task.of}, {task.strategy: task.references})
    _refuse_other_code(task, strategies[task.strategy])
    runner = SetRunner(tapes.get(task.tape_digest), strategies, task.strategy, task.settings, task.engine)
    _runners[place] = runner
    if len(_runners) > RUNNERS_MAX:
        _runners.popitem(last=False)
    return runner


def _strategies(task: StudyTask) -> dict[str, Strategy]:
    """Return the shipped strategies, or the owner's one from a private copy of its file."""
    if task.source is None:
        return load_strategies()
    path = _private_folder() / task.code_digest / f"{task.of or task.strategy}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(task.source, encoding="utf-8")
    strategy = load_strategy(path)
    return {strategy.name: strategy}


@cache
def _private_folder() -> Path:
    """Return a folder that only this user reads, and that goes with this process."""
    folder = tempfile.mkdtemp(prefix="papertape-strategy-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _refuse_other_code(task: StudyTask, strategy: Strategy) -> None:
    own = code_digest([strategy])
    if own != task.code_digest:
        raise WorkerRefused(
            f"the code of {task.strategy} here is {own}, the study was begun with {task.code_digest}: worker "
            f"{platform.node()} needs the study's version of papertape and its strategy file"
        )
