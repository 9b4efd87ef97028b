"""The list of studies, and the page of one study."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

from msgspec import Struct

from papertape.events.errors import UsageError
from papertape.projections.studies.commands import backtest_command, show_log_command
from papertape.projections.studies.heatmap import heat_maps
from papertape.projections.studies.pictures import cost_bar, histogram, joined_curve, matrix_rows, scatter
from papertape.projections.studies.reader import Measure, net_outside

if TYPE_CHECKING:
    from papertape.projections.studies.heatmap import HeatMaps
    from papertape.projections.studies.pictures import CostBar, Histogram, JoinedCurve, MatrixRow, Scatter
    from papertape.projections.studies.reader import SetFigures, StudyFolder, StudySummary, StudyView
    from papertape.ui.page_request import PageRequest

SILENT_MS_MAX: Final = 120_000
"""A running study stores results every few seconds; after this silence its process may have ended."""
MEASURES: Final[tuple[Measure, ...]] = get_args(Measure)
HOLD: Final = "hold_"
"""The prefix of the query parameters that hold another parameter of the strategy at a place among its values."""


class StudiesPage(Struct, frozen=True):
    """The context of the list."""

    studies: tuple[StudySummary, ...]
    folder: str


class StudyPage(Struct, frozen=True):
    """The context of one study.

    `resume` is the command that continues it, `backtest` the one that records its chosen set's trades, `show_log` the
    one that shows them, empty before they are recorded. Pictures are None while the study has no conclusions: watching
    the best set while a study runs is how one fits it to the data.
    """

    study: StudyView
    measure: Measure
    resume: str = ""
    backtest: str = ""
    show_log: str = ""
    is_shown_here: bool = False
    """Whether these pages show the log of the chosen set."""
    net_usdt: float = 0.0
    """The result out of sample."""
    costs: CostBar | None = None
    distribution: Histogram | None = None
    maps: HeatMaps | None = None
    selected: SetFigures | None = None
    curve: JoinedCurve | None = None
    scatter: Scatter | None = None
    matrix: tuple[tuple[int, ...], tuple[MatrixRow, ...]] = ((), ())
    silent_ms_max: int = SILENT_MS_MAX


async def studies(request: PageRequest) -> StudiesPage:
    """Load the list."""
    folder = request.site.studies
    if folder is None:
        return StudiesPage((), "")
    return StudiesPage(await asyncio.to_thread(folder.summaries), str(folder.path))


async def study(request: PageRequest) -> StudyPage:
    """Load one study. Raise UsageError for an unknown name, and for a choice that it does not have."""
    folder, name = request.site.studies, request.path["name"]
    if folder is None:
        raise UsageError(f"there is no study {name!r}; there are: none yet")
    return await asyncio.to_thread(_load, folder, name, request)


def _load(folder: StudyFolder, name: str, request: PageRequest) -> StudyPage:
    found, measure = folder.study(name), _measure(request.parameter("by"))
    plan, document = found.plan, found.document
    if plan is None or document is None:
        return StudyPage(found, measure, found.resume)
    chosen, span = document.verdict.chosen_set, document.whole_span
    by_net = folder.measured(name, span, "net")
    ranked = by_net if measure == "net" else folder.measured(name, span, measure)
    held = {
        axis.name: request.number(HOLD + axis.name, 0)
        for axis in plan.space.axes
        if request.parameter(HOLD + axis.name)
    }
    return StudyPage(
        study=found,
        measure=measure,
        resume=found.resume,
        backtest=backtest_command(name),
        show_log=show_log_command(found.log) if found.log else "",
        is_shown_here=found.log is not None and Path(found.log) == Path(request.site.settings.database).absolute(),
        net_usdt=net_outside(document),
        costs=cost_bar(document.costs),
        distribution=histogram(by_net, chosen),
        maps=heat_maps(plan.space.axes, ranked, chosen, request.parameter("across"), request.parameter("up"), held),
        selected=folder.set_figures(name, span, request.number("set", 0)) if request.parameter("set") else None,
        curve=joined_curve(document, found.capital_usdt),
        scatter=scatter(document.pairs, chosen, document.slope),
        matrix=matrix_rows(document.matrix),
    )


def _measure(name: str) -> Measure:
    """Return what the sets are ranked by. Raise UsageError for anything else."""
    for measure in MEASURES:
        if name in ("", measure):
            return measure
    raise UsageError(f"by={name!r} is not one of {', '.join(MEASURES)}")
