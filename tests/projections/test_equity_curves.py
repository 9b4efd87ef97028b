"""Equity curves in percent and daily results agree with the folds they are made from."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from papertape.events.units import SECOND_MS
from papertape.projections.folds.curve import EquityPoint
from papertape.projections.folds.total import TotalEquity
from papertape.projections.host import fold
from papertape.projections.site.equity_curves import EquityCurvePoint, day_results, equity_curves
from papertape.projections.site.neighbours import find_neighbours
from papertape.projections.site.views import Views
from tests.web.site import example_day


def story_views() -> Views:
    views = Views()
    fold([views], example_day())
    return views


def test_the_total_comes_first_and_percentages_are_of_the_capital() -> None:
    views = story_views()
    portfolio = views.portfolio.view()
    total = views.portfolio.equity.total().view(portfolio.capital_usdt)
    found = equity_curves(total, views.portfolio.equity.views(), 50)
    assert [one.name for one in found] == ["total", *views.strategies]
    assert found[0].points[-1].equity_usdt == pytest.approx(portfolio.equity_usdt, abs=0.005)
    assert found[0].points[-1].net_percent == pytest.approx(total.net_percent, abs=1e-4)
    for curve, account in zip(found[1:], portfolio.accounts, strict=True):
        assert curve.points[-1].net_percent == pytest.approx(account.net_return_percent, abs=1e-4)


def test_daily_results_add_up_to_the_total_result() -> None:
    views = story_views()
    portfolio = views.portfolio.view()
    days = day_results(views.portfolio.equity.views(), views.days, 7)
    assert [one.day_ms for one in days] == sorted({one.day_ms for one in days})
    assert sum(one.result_usdt for one in days) == pytest.approx(portfolio.equity_usdt - portfolio.capital_usdt)
    assert days[-1].result_usdt == pytest.approx(portfolio.day_result_usdt)
    assert sum(one.trades for one in days) == len(views.trades.closed())


def test_the_newest_drawdown_counts_a_peak_between_the_points_of_the_curve() -> None:
    total = TotalEquity()
    for second, equity_usdt in enumerate((100.0, 110.0, 99.0)):
        total.put(second * SECOND_MS, equity_usdt, 0)
    view = total.view(100.0)
    assert len(view.curve) == 1
    assert view.drawdowns[-1].drawdown_percent == view.drawdown_percent == pytest.approx(10.0)


def test_only_the_last_days_are_shown() -> None:
    views = story_views()
    assert day_results(views.portfolio.equity.views(), views.days, 1)[0].day_ms == views.days.today.day * 86_400_000  # type: ignore[union-attr]


def test_neighbours_are_the_nearest_fill_and_trip_on_either_side() -> None:
    views, log = story_views(), example_day()
    names = {one.seq: type(one.event).__name__ for one in log}
    fills = [seq for seq, name in names.items() if name in ("PositionOpened", "PositionClosed", "Liquidated")]
    trips = [seq for seq, name in names.items() if name == "KillSwitchTripped"]
    assert fills and trips
    for seq in range(1, len(log) + 1):
        found = find_neighbours(views, seq)
        assert found.previous_fill == max((one for one in fills if one < seq), default=None)
        assert found.next_fill == min((one for one in fills if one > seq), default=None)
        assert found.previous_trip == max((one for one in trips if one < seq), default=None)
        assert found.next_trip == min((one for one in trips if one > seq), default=None)


def test_all_curves_start_at_the_same_time_with_their_capital() -> None:
    """A curve keeps the last equity of an hour, so trading within the first hour replaces its start."""
    views = story_views()
    equity, capital = views.portfolio.equity, views.portfolio.view().capital_usdt
    total = equity.total().view(capital)
    late = replace(total, curve=tuple(EquityPoint(one.at_ms + 1, one.equity_usdt) for one in total.curve))
    found = equity_curves(late, equity.views(), 50)
    assert found[0].points[0] == EquityCurvePoint(found[1].points[0].at_ms, capital, 0.0)
    assert found[0].points[1].at_ms == late.curve[0].at_ms
    assert len({one.points[0].at_ms for one in found}) == 1
