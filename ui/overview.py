"""The overview: the total result, the ranking, open positions and the latest events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from papertape.projections.site.equity_curves import DayResult, EquityCurveView, day_results, equity_curves
from papertape.projections.site.plot_geometry import thin_points
from papertape.projections.text.formats import gain
from papertape.ui.rendering import tone

if TYPE_CHECKING:
    from papertape.events.log import Recorded
    from papertape.projections.folds.arena import ArenaRow
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


class EquityCurvesPicture(Struct, frozen=True):
    """The data of an equity chart."""

    curves: tuple[EquityCurveView, ...]
    drawdowns: tuple[DrawdownPoint, ...]
    marks: tuple[EquityMarker, ...]

    @property
    def newest(self) -> EquityCurvesPicture:
        """The newest point of each curve, sent with the figures; the whole chart is sent less often."""
        last = tuple(replace(curve, points=curve.points[-1:]) for curve in self.curves)
        return EquityCurvesPicture(last, self.drawdowns[-1:], ())


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
        picture=all_curves(request, total),
    )


def _days(views: Views) -> tuple[DayResult, ...]:
    """Return the newest days with trades, trips or a result, and always the last one."""
    days = day_results(views.portfolio.equity.views(), views.days, DAYS_SEARCHED_MAX)
    shown = (day for day in days if day.trades or day.trips or tone(gain(day.result_usdt)) != "flat" or day is days[-1])
    return tuple(shown)[-DAYS_SHOWN_MAX:]


def curve_points(request: PageRequest) -> int:
    """Return the number of curve points; `part=content` needs only the newest, because the browser has the chart."""
    return 2 if request.part == "content" else CURVE_POINTS_MAX


def all_curves(request: PageRequest, total: TotalView) -> EquityCurvesPicture:
    """Return the equity curves of all strategies and of their total."""
    views, most = request.views, curve_points(request)
    return EquityCurvesPicture(
        curves=equity_curves(total, views.portfolio.equity.views(), most),
        drawdowns=thin_points(total.drawdowns, most),
        marks=views.marks.views()[-MARKS_SHOWN_MAX:],
    )
