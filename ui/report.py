"""A report as one HTML page that needs nothing but itself: its styles and pictures are inside."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from markupsafe import Markup
from msgspec import Struct

from papertape.projections.site.report_pictures import FanPicture, fan_picture
from papertape.projections.studies.pictures import cost_bar, histogram, joined_curve, matrix_rows, scatter
from papertape.projections.studies.reader import net_outside
from papertape.ui.rendering import STATIC, render

if TYPE_CHECKING:
    from papertape.projections.site.report import StrategyReport
    from papertape.projections.studies.pictures import CostBar, Histogram, JoinedCurve, MatrixRow, Scatter
    from papertape.projections.studies.reader import StudyFolder, StudyView

STYLES: Final = ("layout.css", "tables.css", "pages.css", "studies.css", "report.css")
_FONT_FACE = re.compile(r"@font-face\s*\{[^}]*\}")
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class StudyPart(Struct, frozen=True):
    """A study with its pictures, None where there is nothing to draw, and the fan of what its tests promise."""

    study: StudyView
    costs: CostBar | None = None
    distribution: Histogram | None = None
    curve: JoinedCurve | None = None
    scatter: Scatter | None = None
    matrix: tuple[tuple[int, ...], tuple[MatrixRow, ...]] = ((), ())
    promise: FanPicture | None = None
    net_usdt: float = 0.0
    """The result out of sample."""


class ReportPage(Struct, frozen=True):
    """What a report shows: the name of its subject, when it was made, strategies, and a study if it is about one."""

    name: str
    made_at_ms: int
    strategies: tuple[StrategyReport, ...]
    study: StudyPart | None = None


def study_part(folder: StudyFolder, name: str) -> StudyPart:
    """Return a study with its pictures; without conclusions it has none."""
    found = folder.study(name)
    document = found.document
    if document is None or found.plan is None:
        return StudyPart(found)
    chosen = document.verdict.chosen_set
    return StudyPart(
        study=found,
        costs=cost_bar(document.costs),
        distribution=histogram(folder.measured(name, document.whole_span, "net"), chosen),
        curve=joined_curve(document, found.capital_usdt),
        scatter=scatter(document.pairs, chosen, document.slope),
        matrix=matrix_rows(document.matrix),
        promise=None if document.promise is None else fan_picture(document.promise.bands_r),
        net_usdt=net_outside(document),
    )


def render_report(page: ReportPage) -> str:
    """Return the page as HTML."""
    sheets = "\n".join(_FONT_FACE.sub("", (STATIC / name).read_text("utf-8")) for name in STYLES)
    styles = Markup(f"<style>\n{sheets}\n</style>")  # noqa: S704 - our own files
    return render("report.html", {"report": page, "styles": styles, "months": MONTHS, "link_here": _no_link})


def _no_link(**_: object) -> str:
    """Return the address of nothing: a report leads nowhere."""
    return ""
