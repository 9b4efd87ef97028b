"""Run a study: its sets over its spans, in tasks of about a second, each stored as it completes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from papertape.engine.strategy_registry import is_shipped
from papertape.studies.folds import spans_of
from papertape.studies.pace import Estimate, Pace, size_bytes
from papertape.studies.plan import stretch_of
from papertape.studies.tasks import StudyTask, TaskFailure, TaskOutcome, versions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from papertape.studies.executors.port import Executor

    from papertape.engine.research.set_result import TradedSpan
    from papertape.studies.folds import Fold
    from papertape.studies.ledger import TrialLedger
    from papertape.studies.plan import Experiment
    from papertape.studies.store import StudyStore

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
        self._pattern = _pattern(experiment, store)
        self._stored_before = len(self._numbers) * len(self.spans) - self.missing()
        self._trials_before = ledger.count(store.plan.strategy, store.plan.tape_digest)

    def missing(self) -> int:
        """Return how many runs of one set over one span are not stored."""
        return sum(len(self.store.missing(span_id, self._numbers)) for span_id in self.spans)

    def measure(self, executor: Executor) -> None:
        """Run the first missing sets of an unfinished span for the pace.

        The first one compiles the strategy and prepares the market, so a second one is measured and, if that is quick,
        more of them.
        """
        for span_id, span in self.spans.items():
            missing = self.store.missing(span_id, self._numbers)
            if missing:
                for first, last in ((0, 1), (1, 2), (2, 2 + MEASURED_SETS)):
                    numbers = missing[first:last]
                    self._run(iter([self._task(span_id, span, numbers)] if numbers else []), executor)
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
        jobs: int,
        on_chunk: Callable[[TaskOutcome | TaskFailure], None] = lambda _: None,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Run everything that is missing and store it; return whether all of it is stored.

        Once `is_stopped` no task is started, and those in flight are stored. A task that fails is recorded, and the
        study goes on.
        """
        self._run(self._tasks(jobs, is_stopped), executor, on_chunk)
        return self.missing() == 0

    def _run(
        self,
        tasks: Iterator[StudyTask],
        executor: Executor,
        on_chunk: Callable[[TaskOutcome | TaskFailure], None] = lambda _: None,
    ) -> None:
        for done in executor.run(tasks):
            if isinstance(done, TaskFailure):
                self.store.add_failure(done)
            else:
                self._add(done)
            on_chunk(done)

    def _add(self, outcome: TaskOutcome) -> None:
        """Count the sets as tried, then store their results: none is stored that the ledger does not know."""
        plan, space = self.store.plan, self.experiment.space
        source = self.experiment.strategy.source
        self.ledger.add(plan.strategy, source, plan.tape_digest, map(space.values, outcome.numbers))
        self.store.add(outcome)
        self.pace.learn(self.spans[outcome.span_id], len(outcome.numbers), outcome.took_s)
        for reason, count in outcome.long_way.items():
            self.long_way[reason] = self.long_way.get(reason, 0) + count

    def _tasks(self, jobs: int, is_stopped: Callable[[], bool]) -> Iterator[StudyTask]:
        """Yield tasks span by span, so that a process prepares few spans at a time."""
        for span_id, span in self.spans.items():
            missing = self.store.missing(span_id, self._numbers)
            at = 0
            while at < len(missing) and not is_stopped():
                until = at + self.pace.task_sets(span, len(missing) - at, jobs)
                yield self._task(span_id, span, missing[at:until])
                at = until

    def _task(self, span_id: int, span: TradedSpan, numbers: Sequence[int]) -> StudyTask:
        return replace(self._pattern, span_id=span_id, span=span, numbers=tuple(numbers))


def _pattern(experiment: Experiment, store: StudyStore) -> StudyTask:
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
        engine=experiment.engine,
        of=strategy.of,
        references=dict(strategy.references),
        days=store.days_policy,
        versions=versions(),
    )
