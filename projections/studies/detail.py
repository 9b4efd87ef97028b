"""A study as the API answers it: every number has a name, so that generated clients need no tuples."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import asdict

from papertape.projections.folds.curve import EquityPoint
from papertape.projections.studies.document import (
    Costs,
    Document,
    FoldResult,
    MatrixCell,
    PromisedResult,
    StudyPlan,
    Verdict,
    Yardstick,
)
from papertape.projections.studies.reader import StudyProgress, StudyState, StudyView

if TYPE_CHECKING:
    from typing import Any


class SetSharpes(Struct, frozen=True):
    """The annualised daily Sharpe ratios of one set in and out of sample."""

    number: int
    in_sample: float
    out_of_sample: float


class BandView(Struct, frozen=True):
    """The 1, 5, 25, 50, 75 and 95 % quantiles of the cumulative result after so many trades, in R."""

    trades: int
    low_1_r: float | None
    low_5_r: float
    low_25_r: float
    median_r: float
    high_75_r: float
    high_95_r: float


class PromisedSummary(Struct, frozen=True):
    """What the chosen set promises; see `PromisedResult`."""

    trades_per_day: float
    win_rate: float
    mean_r: float
    cost_per_trade_r: float
    drawdown_95_fraction: float
    bands: tuple[BandView, ...]


class StudyConclusions(Struct, frozen=True):
    """What a study concludes; see `Document`."""

    verdict: Verdict
    costs: Costs
    folds: tuple[FoldResult, ...]
    matrix: tuple[MatrixCell, ...]
    joined: tuple[EquityPoint, ...]
    yardsticks: tuple[Yardstick, ...]
    sharpes: tuple[SetSharpes, ...]
    slope: float | None
    statistics: dict[str, float | None]
    promise: PromisedSummary | None
    trials: int
    whole_span: int
    long_way: dict[str, int]
    digest: str
    train_ms: int
    test_ms: int
    embargo_ms: int
    anchored: bool


class StudyDetail(Struct, frozen=True):
    """A study's file. What it does not have, or what cannot be read because of the `problem`, is null."""

    name: str
    state: StudyState
    problem: str
    file: str
    key: str
    plan: StudyPlan | None
    conclusions: StudyConclusions | None
    progress: StudyProgress | None
    created_at_ms: int
    updated_at_ms: int
    concluded_at_ms: int | None
    log: str | None


def study_detail(study: StudyView) -> StudyDetail:
    """Return a study as the API answers it."""
    shared = _shared(study, StudyDetail)
    document = study.document
    return StudyDetail(**shared, conclusions=None if document is None else _conclusions(document))


def _conclusions(document: Document) -> StudyConclusions:
    shared = _shared(document, StudyConclusions)
    shared["joined"] = tuple(EquityPoint(at_ms, equity) for at_ms, equity in document.joined)
    shared["promise"] = None if document.promise is None else _promise(document.promise)
    sharpes = tuple(SetSharpes(pair.number, pair.inside, pair.outside) for pair in document.pairs)
    return StudyConclusions(**shared, sharpes=sharpes)


def _promise(promise: PromisedResult) -> PromisedSummary:
    paired = zip_longest(promise.bands_r, promise.lowest_r[: len(promise.bands_r)])
    bands = tuple(BandView(trades, lowest, *band) for trades, (band, lowest) in enumerate(paired, start=1))
    return PromisedSummary(**_shared(promise, PromisedSummary), bands=bands)


def _shared(one: Struct, kind: type[Struct]) -> dict[str, Any]:
    """Return the fields of a Struct that another kind has too."""
    return {name: value for name, value in asdict(one).items() if name in kind.__struct_fields__}
