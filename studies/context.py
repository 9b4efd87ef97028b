"""What a conclusion is drawn from: the results of a study, and what else is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from papertape.engine.kernel.risk_settings import RiskSettings
    from papertape.engine.research.set_result import TradedSpan
    from papertape.engine.research.tape import Tape
    from papertape.projections.studies.document import StudyPlan
    from papertape.studies.choice import SetRow
    from papertape.studies.folds import Fold, Windows
    from papertape.studies.real_runs import Run


class ResultSource(Protocol):
    """The results of a study by span: what every set did, and the day-end equities of those that are kept."""

    def rows(self, span_id: int) -> list[SetRow]:
        """Return number, figures without daily equities, and annualised Sharpe ratio of every set, by number."""
        ...

    def days(self, span_id: int) -> tuple[Sequence[int], Any]:
        """Return the numbers of sets and their day-end equities, a row a set."""
        ...


class NumberedSets(Protocol):
    """The sets of a study by number."""

    def values(self, number: int) -> dict[str, int | float]:
        """Return the parameters of a set."""
        ...

    def neighbours(self, number: int) -> Sequence[int]:
        """Return the sets one step away in one parameter, whether they were run or not."""
        ...


class StudyContext(Struct, frozen=True):
    """What a study knows besides its results.

    `spans` has the ids of spans, 0 for the whole study. `trials` counts every set ever tried on this strategy and
    these symbols, and `run` runs a set over a span with given costs and limits. `matrix` are walk-forwards with other
    windows, whose spans were run too. Whatever is drawn by chance follows from the seed.
    """

    plan: StudyPlan
    space: NumberedSets
    spans: Mapping[TradedSpan, int]
    risk: RiskSettings
    trials: int
    run: Run
    tape: Tape | None = None
    windows: Windows | None = None
    matrix: Sequence[tuple[Windows, Sequence[Fold]]] = ()
    seed: int = 0

    @property
    def capital_usdt(self) -> float:
        """The capital that every account starts with."""
        return self.risk.capital_usdt
