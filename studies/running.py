"""Run a study: announce what it takes, run its sets over its spans, and count every set as tried."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from papertape.engine.research.engine_choice import import_s, is_installed, python_s
from papertape.engine.runner_settings import validate_parameters
from papertape.engine.strategy_registry import is_shipped
from papertape.studies.execution import execute
from papertape.studies.folds import spans_of
from papertape.studies.pace import Estimate, Pace, size_bytes
from papertape.studies.plan import stretch_of
from papertape.studies.tasks import StudyTask, TaskFailure, versions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from papertape.studies.executors.port import Executor
    from papertape.studies.folds import Fold
    from papertape.studies.ledger import TrialLedger
    from papertape.studies.plan import Experiment
    from papertape.studies.store import StudyStore
    from papertape.studies.tasks import TaskOutcome

MEASURED_SETS: Final = 62
SLOW_SET_S: Final = 0.1
"""If one set takes longer, its time is the measure."""


class StudyRun:
    """A study with its file, and the folds whose spans it runs. Span 0 is the whole period."""

    def __init__(self, experiment: Experiment, store: StudyStore, ledger: TrialLedger, folds: Sequence[Fold]) -> None:
        self.experiment, self.store, self.ledger, self.folds = experiment, store, ledger, list(folds)
        self.pace = Pace(stretch_of(experiment))
        spans = spans_of(experiment.whole, folds)
        self.spans = dict(zip(store.spans(spans), spans, strict=True))
        self.long_way: dict[str, int] = {}
        self._numbers = experiment.space.numbers()
        self._template = _template(experiment, store, sets_engine(experiment, len(self.spans)))
        self._stored_before = len(self._numbers) * len(self.spans) - self.missing()
        self._trials_before = ledger.count(store.plan.of or store.plan.strategy, store.plan.symbols)
        count_trials(experiment, store, ledger)

    def missing(self) -> int:
        """Return how many runs of one set over one span are not stored."""
        return sum(len(self.store.missing(span_id, self._numbers)) for span_id in self.spans)

    def measure(
        self, executor: Executor, on_chunk: Callable[[TaskOutcome | TaskFailure], None] = lambda _: None
    ) -> None:
        """Run the first missing sets of an unfinished span for the pace.

        The first one compiles the strategy and prepares the market, so a second one is measured and, if that is quick,
        more of them.
        """
        for span_id, span in self.spans.items():
            missing = self.store.missing(span_id, self._numbers)
            if missing:
                for first, last in ((0, 1), (1, 2), (2, 2 + MEASURED_SETS)):
                    self._execute(executor, [span_id], missing[first:last], on_chunk)
                    if first == 1 and self.pace.seconds(self.pace.days(span), 1) > SLOW_SET_S:
                        return
                return

    def estimate(self, jobs: int) -> Estimate:
        """Return what is left to do, by the pace that was measured."""
        sets = len(self._numbers)
        days = [self.pace.days(span) for span in self.spans.values()]
        return Estimate(
            sets=sets,
            folds=len(self.folds),
            runs=sets * len(self.spans),
            stored=self._stored_before,
            seconds=self.seconds_left(jobs),
            size_bytes=size_bytes(sets, days),
            trials=self._trials_before,
        )

    def seconds_left(self, jobs: int) -> float:
        """Return how long the missing runs take in `jobs` processes, in seconds."""
        missing = ((len(self.store.missing(span_id, self._numbers)), span) for span_id, span in self.spans.items())
        return self.pace.seconds(sum(count * self.pace.days(span) for count, span in missing), jobs)

    def run(
        self,
        executor: Executor,
        on_chunk: Callable[[TaskOutcome | TaskFailure], None] = lambda _: None,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Run everything that is missing and store it; return whether nothing is missing then.

        Once `is_stopped` no task is started, and those in flight are stored. A task that fails is recorded, and the
        study goes on.
        """
        self._execute(executor, list(self.spans), self._numbers, on_chunk, is_stopped)
        return self.missing() == 0

    def _execute(
        self,
        executor: Executor,
        span_ids: Sequence[int],
        numbers: Sequence[int],
        on_chunk: Callable[[TaskOutcome | TaskFailure], None] = lambda _: None,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        for done in execute(self.store, executor, self._template, span_ids, numbers, is_stopped):
            if not isinstance(done, TaskFailure):
                self._learn(done)
            on_chunk(done)

    def _learn(self, outcome: TaskOutcome) -> None:
        """Count the sets as tried, and take their pace."""
        add_trials(self.experiment, self.ledger, outcome.numbers)
        self.pace.learn(self.spans[outcome.span_id], len(outcome.numbers), outcome.took_s)
        for reason, count in outcome.long_way.items():
            self.long_way[reason] = self.long_way.get(reason, 0) + count


def count_trials(experiment: Experiment, store: StudyStore, ledger: TrialLedger) -> int:
    """Count all sets with a stored result as tried, also those of a run that was killed; return the trials so far."""
    numbers = {number for span_id in store.all_spans() for number, *_ in store.rows(span_id)}
    return add_trials(experiment, ledger, sorted(numbers))


def add_trials(experiment: Experiment, ledger: TrialLedger, numbers: Sequence[int]) -> int:
    """Count sets, with the parameters that do not vary, as tried; return how many were tried so far.

    An instance of a strategy counts as the strategy: another name is no fresh start.
    """
    strategy = experiment.strategy
    others = validate_parameters(strategy, experiment.settings.parameters)
    sets = ({**others, **experiment.space.values(number)} for number in numbers)
    symbols = [contract.symbol for contract in experiment.tape.contracts]
    return ledger.add(strategy.of or strategy.name, strategy.source, symbols, sets)


def sets_engine(experiment: Experiment, spans: int) -> str:
    """Return the engine of all tasks: one alone may be too short to be worth compiling for, the whole study may not."""
    strategy, tape = experiment.strategy, experiment.tape
    if experiment.engine != "auto" or "print(" in strategy.source:
        return experiment.engine
    # CPython prepares the market anew for almost every set, but never waits for a compiler.
    work_s = python_s(tape.total(), spans) * (2 + len(experiment.space.numbers()))
    if not is_installed() or work_s <= import_s():
        return "python"
    from papertape.engine.research.sets.compiled_kit import compile_s  # noqa: PLC0415 - belongs to an extra

    return "compiled" if work_s > compile_s(strategy, len(tape.contracts)) else "python"


def _template(experiment: Experiment, store: StudyStore, engine: str) -> StudyTask:
    """Return a task of a study without sets."""
    strategy = experiment.strategy
    return StudyTask(
        key=store.key,
        strategy=strategy.name,
        source=None if is_shipped(strategy) else strategy.source,
        code_digest=store.plan.code_digest,
        tape_digest=experiment.tape_digest,
        settings=experiment.settings,
        space=experiment.space,
        span_id=0,
        span=experiment.whole,
        numbers=(),
        engine=engine,
        of=strategy.of,
        references=dict(strategy.references),
        days=store.days_policy,
        versions=versions(),
    )
