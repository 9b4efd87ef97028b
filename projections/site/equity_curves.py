"""Equity curves for charts: thinned, in USDT and in percent; and the result of every day."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.events.units import DAY_MS
from papertape.projections.folds.curve import EquityPoint
from papertape.projections.folds.total import DrawdownPoint, drawdowns
from papertape.projections.site.plot_geometry import thin_points
from papertape.projections.text.formats import MOMENT_MS_MAX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.projections.alerts.daily import DayFigures, Days
    from papertape.projections.folds.equity import EquityView
    from papertape.projections.folds.total import TotalView

TOTAL = "total"
BUY_AND_HOLD = "buy & hold"


class EquityCurvePoint(Struct, frozen=True, array_like=True):
    """The equity at a market time, and its gain over the capital in percent of the capital."""

    at_ms: int
    equity_usdt: float
    net_percent: float


class EquityCurveView(Struct, frozen=True):
    """The equity curve of one strategy, or of all together under the name `total`."""

    name: str
    points: tuple[EquityCurvePoint, ...]


class DayResult(Struct, frozen=True):
    """The result of all strategies together in the UTC day that began at `day_ms`; the last day may be incomplete.

    The result is the change of the equity, open positions included; trades and wins are those closed on that day.
    """

    day_ms: int
    equity_usdt: float
    result_usdt: float
    result_percent: float
    trades: int
    wins: int
    trips: int


def equity_curves(total: TotalView, views: Sequence[EquityView], points_max: int) -> tuple[EquityCurveView, ...]:
    """Return the total curve, then every strategy's as configured; all start at the same time with their capital."""
    curves = [(TOTAL, total.capital_usdt, total.curve), *((one.strategy, one.capital_usdt, one.curve) for one in views)]
    start_ms = min((curve[0].at_ms for _, _, curve in curves if curve), default=0)
    return tuple(
        _curve_view(name, capital, curve_with_start(curve, capital, start_ms), points_max)
        for name, capital, curve in curves
    )


def benchmark_curve(capital_usdt: float, points: Sequence[EquityPoint], points_max: int) -> EquityCurveView:
    """Return what the capital would be worth in the market as a curve."""
    return _curve_view(BUY_AND_HOLD, capital_usdt, points, points_max)


def strategy_drawdowns(view: EquityView, points_max: int) -> tuple[DrawdownPoint, ...]:
    """Return how far one strategy's equity was below its highest point so far, starting from its capital."""
    return thin_points(
        drawdowns(tuple(curve_with_start(view.curve, view.capital_usdt, view.from_ms)), view.peak_usdt), points_max
    )


def curve_with_start(curve: Sequence[EquityPoint], capital_usdt: float, start_ms: int) -> Sequence[EquityPoint]:
    """Put the starting equity before a curve: the curve keeps the last equity of each step, which may miss it."""
    return (EquityPoint(start_ms, capital_usdt), *curve) if curve and curve[0].at_ms > start_ms else curve


def _curve_view(name: str, capital_usdt: float, curve: Sequence[EquityPoint], points_max: int) -> EquityCurveView:
    share = 100.0 / capital_usdt if capital_usdt > 0.0 else 0.0
    points = thin_points(curve, points_max)
    shown = (_point(point, capital_usdt, share) for point in points)
    return EquityCurveView(name, tuple(shown))


def _point(point: EquityPoint, capital_usdt: float, share: float) -> EquityCurvePoint:
    """Round to cents and ten-thousandths of a percent: a chart shows no more, and it is sent every few seconds."""
    net_percent = (point.equity_usdt - capital_usdt) * share
    return EquityCurvePoint(point.at_ms, round(point.equity_usdt, 2), round(net_percent, 4))


def day_results(
    views: Sequence[EquityView], days: Days, limit: int, from_ms: int = 0, until_ms: int = MOMENT_MS_MAX
) -> tuple[DayResult, ...]:
    """Return the last `limit` days that begin in a range of time, oldest first."""
    figures = (*days.finished_days(), *([days.today] if days.today is not None else []))
    chosen = [one for one in figures if from_ms <= one.day * DAY_MS <= until_ms]
    return tuple(_day(one, views) for one in chosen[-limit:])


def _day(figures: DayFigures, views: Sequence[EquityView]) -> DayResult:
    begin = sum(_equity_at_end(one, figures.day - 1) for one in views)
    end = sum(_equity_at_end(one, figures.day) for one in views)
    return DayResult(
        day_ms=figures.day * DAY_MS,
        equity_usdt=end,
        result_usdt=end - begin,
        result_percent=(end - begin) / begin * 100.0 if begin > 0.0 else 0.0,
        trades=figures.trades,
        wins=figures.wins,
        trips=len(figures.trips),
    )


def _equity_at_end(view: EquityView, day: int) -> float:
    """Return the equity at the end of a day; before the first day the capital, after the last the newest equity."""
    equities, at = view.day_equities_usdt, day - view.from_ms // DAY_MS
    return equities[min(at, len(equities) - 1)] if equities and at >= 0 else view.capital_usdt
