"""The conclusions of a study that has been run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from papertape.studies.conclude import conclude
from papertape.studies.context import StudyContext
from papertape.studies.real_runs import runs_over

if TYPE_CHECKING:
    from papertape.projections.studies.document import Document
    from papertape.studies.folds import Fold, Windows
    from papertape.studies.running import StudyRun

EARLIER = "before it was resumed"
BACKTESTS_A_FOLD = 2
"""One with the costs of the configuration, one with higher ones."""


class WalkForward(Struct):
    """The folds of a study; `matrix` has those of other window lengths."""

    windows: Windows | None
    folds: list[Fold]
    matrix: list[tuple[Windows, list[Fold]]] = []

    def all_folds(self) -> list[Fold]:
        """Return the folds of all window lengths."""
        return [*self.folds, *(fold for _, folds in self.matrix for fold in folds)]


def conclude_study(run: StudyRun, forward: WalkForward) -> Document:
    """Return the conclusions of a study whose results are stored."""
    experiment, store = run.experiment, run.store
    strategy, settings = experiment.strategy, experiment.settings
    engine = experiment.engine_for(BACKTESTS_A_FOLD * len(forward.folds))
    context = StudyContext(
        plan=store.plan,
        space=experiment.space,
        spans={span: span_id for span_id, span in run.spans.items()},
        risk=settings.risk,
        trials=run.ledger.count(strategy.of or strategy.name, run.store.plan.symbols),
        run=runs_over(experiment.tape, {strategy.name: strategy}, strategy.name, settings, engine),
        tape=experiment.tape,
        windows=forward.windows,
        matrix=forward.matrix,
        seed=experiment.space.seed,
    )
    document = conclude(store, forward.folds, context)
    return replace(document, digest=store.digest(), long_way=_long_way(run))


def _long_way(run: StudyRun) -> dict[str, int]:
    """Return how many stored runs were run fact by fact, by reason as far as that is known.

    A file does not hold reasons, so those of earlier processes are known from the last conclusions only.
    """
    count = sum(result.long_way for span_id in run.spans for _, result, _ in run.store.rows(span_id))
    last = run.store.document()
    if last is not None and not run.long_way and sum(last.long_way.values()) == count:
        return last.long_way
    earlier = count - sum(run.long_way.values())
    return {**run.long_way, **({EARLIER: earlier} if earlier > 0 else {})}
