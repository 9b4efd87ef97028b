"""The overview: what all strategies together made, who leads, what is open, what happened last."""

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

COURSE_POINTS_MAX = 300
EVENTS_SHOWN_MAX = 14
DAYS_LOOKED_AT_MAX = 120
DAYS_SHOWN_MAX = 30
MARKS_SHOWN_MAX = 200


class EquityCurvesPicture(Struct, frozen=True):
    """What the picture of the courses is drawn from."""

    courses: tuple[EquityCurveView, ...]
    drawdowns: tuple[DrawdownPoint, ...]
    marks: tuple[EquityMarker, ...]

    @property
    def newest(self) -> EquityCurvesPicture:
        """Where the courses stand: it comes with the figures around the picture, which is sent less often."""
        last = tuple(replace(course, points=course.points[-1:]) for course in self.courses)
        return EquityCurvesPicture(last, self.drawdowns[-1:], ())


class Overview(Struct, frozen=True):
    """The page's context."""

    portfolio: PortfolioView
    total: TotalView
    since_start_usdt: float
    since_start_percent: float
    today_percent: float
    rows: tuple[ArenaRow, ...]
    days: tuple[DayResult, ...]
    recent: tuple[Recorded, ...]
    picture: EquityCurvesPicture


async def overview(look: PageRequest) -> Overview:
    """Everything on the page."""
    views = look.views
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
        picture=all_courses(look, total),
    )


def _days(views: Views) -> tuple[DayResult, ...]:
    """The newest days on which something was made or lost, and the last one."""
    days = day_results(views.portfolio.equity.views(), views.days, DAYS_LOOKED_AT_MAX)
    told = (day for day in days if day.trades or day.trips or tone(gain(day.result_usdt)) != "flat" or day is days[-1])
    return tuple(told)[-DAYS_SHOWN_MAX:]


def course_points(look: PageRequest) -> int:
    """So many points are looked at: where the content is asked for, the picture is there and only goes on."""
    return 2 if look.part == "content" else COURSE_POINTS_MAX


def all_courses(look: PageRequest, total: TotalView) -> EquityCurvesPicture:
    """The courses of all strategies and of their total."""
    views, most = look.views, course_points(look)
    return EquityCurvesPicture(
        courses=equity_curves(total, views.portfolio.equity.views(), most),
        drawdowns=thin_points(total.drawdowns, most),
        marks=views.marks.views()[-MARKS_SHOWN_MAX:],
    )
