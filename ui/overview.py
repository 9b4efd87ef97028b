"""The overview: the total result, the ranking, open positions and the latest events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from papertape.projections.site.equity_curves import (
    DayResult,
    EquityCurveView,
    benchmark_curve,
    day_results,
    equity_curves,
)
from papertape.projections.site.plot_geometry import thin_points
from papertape.projections.text.formats import gain
from papertape.ui.rendering import tone

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from papertape.events.log import Recorded
    from papertape.projections.folds.arena import ArenaRow
    from papertape.projections.folds.epochs import EpochView
    from papertape.projections.folds.marks import EquityMarker
    from papertape.projections.folds.portfolio import PortfolioView
    from papertape.projections.folds.total import DrawdownPoint, TotalView
    from papertape.projections.site.views import Views
    from papertape.ui.page_request import PageRequest

CURVE_POINTS_MAX = 300
EVENTS_SHOWN_MAX = 14
DAYS_SEARCHED_MAX = 120
DAYS_SHOWN_MAX = 30
MARKS_SHOWN_MAX = 200
MARKS_SHOWN = ("kill", "reset", "outage", "start")
"""Epochs are marked where the configuration changed."""


class EpochMark(Struct, frozen=True):
    """Where an epoch begins on a curve, and what changed."""

    number: int
    at_ms: int
    text: str


class EquityCurvesPicture(Struct, frozen=True):
    """The data of an equity chart."""

    curves: tuple[EquityCurveView, ...]
    drawdowns: tuple[DrawdownPoint, ...]
    marks: tuple[EquityMarker, ...]
    epochs: tuple[EpochMark, ...] = ()
    benchmark: EquityCurveView | None = None

    @property
    def newest(self) -> EquityCurvesPicture:
        """The newest point of each curve, sent with the figures; the whole chart is sent less often."""
        last = tuple(replace(curve, points=curve.points[-1:]) for curve in self.curves)
        benchmark = self.benchmark and replace(self.benchmark, points=self.benchmark.points[-1:])
        return EquityCurvesPicture(last, self.drawdowns[-1:], (), (), benchmark)


class Overview(Struct, frozen=True):
    """The context of the page."""

    portfolio: PortfolioView
    total: TotalView
    since_start_usdt: float
    since_start_percent: float
    today_percent: float
    rows: tuple[ArenaRow, ...]
    days: tuple[DayResult, ...]
    recent: tuple[Recorded, ...]
    picture: EquityCurvesPicture


async def overview(request: PageRequest) -> Overview:
    """Load the overview."""
    views = request.views
    portfolio = views.portfolio.view()
    total = views.portfolio.equity.total().view(portfolio.capital_usdt)
    return Overview(
        portfolio=portfolio,
        total=total,
        since_start_usdt=total.net_usdt,
        since_start_percent=total.net_percent,
        today_percent=portfolio.day_result_percent,
        rows=views.arena.rows(),
        days=_days(views),
        recent=tuple(reversed(views.recent))[:EVENTS_SHOWN_MAX],
        picture=all_curves(request, total, views.epochs.total()),
    )


def _days(views: Views) -> tuple[DayResult, ...]:
    """Return the newest days with trades, trips or a result, and always the last one."""
    days = day_results(views.portfolio.equity.views(), views.days, DAYS_SEARCHED_MAX)
    shown = (day for day in days if day.trades or day.trips or tone(gain(day.result_usdt)) != "flat" or day is days[-1])
    return tuple(shown)[-DAYS_SHOWN_MAX:]


def curve_points(request: PageRequest) -> int:
    """Return the number of curve points; `part=content` needs only the newest, because the browser has the chart."""
    return 2 if request.part == "content" else CURVE_POINTS_MAX


def all_curves(request: PageRequest, total: TotalView, epochs: Sequence[EpochView]) -> EquityCurvesPicture:
    """Return the equity curves of all strategies and of their total."""
    views, most = request.views, curve_points(request)
    return EquityCurvesPicture(
        curves=equity_curves(total, views.portfolio.equity.views(), most),
        drawdowns=thin_points(total.drawdowns, most),
        marks=shown_marks(views.marks.views()),
        epochs=epoch_marks(epochs),
        benchmark=benchmark_curve(total.capital_usdt, views.buy_and_hold.points(total.capital_usdt), most),
    )


def shown_marks(marks: Iterable[EquityMarker]) -> tuple[EquityMarker, ...]:
    """Return the newest markers that a chart draws."""
    return tuple(mark for mark in marks if mark.kind in MARKS_SHOWN)[-MARKS_SHOWN_MAX:]


def epoch_marks(epochs: Iterable[EpochView]) -> tuple[EpochMark, ...]:
    """Return where epochs begin; the first one needs no mark."""
    return tuple(
        EpochMark(one.number, one.from_ms, f"{one.changes} ({one.reason})" if one.reason else one.changes)
        for one in epochs
        if one.number > 1
    )
