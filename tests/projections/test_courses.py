"""Courses in percent and days as results: the same numbers as the folds they are made of."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from papertape.projections.folds.curve import EquityPoint
from papertape.projections.host import fold
from papertape.projections.site.equity_curves import EquityCurvePoint, day_results, equity_curves
from papertape.projections.site.neighbours import find_neighbours
from papertape.projections.site.views import Views
from tests.web.given import example_day


def seen() -> Views:
    views = Views()
    fold([views], example_day())
    return views


def test_the_total_comes_first_and_percents_are_of_the_capital() -> None:
    views = seen()
    portfolio = views.portfolio.view()
    total = views.portfolio.equity.total().view(portfolio.capital_usdt)
    found = equity_curves(total, views.portfolio.equity.views(), 50)
    assert [one.name for one in found] == ["total", *views.strategies]
    assert found[0].points[-1].equity_usdt == pytest.approx(portfolio.equity_usdt, abs=0.005)
    assert found[0].points[-1].net_percent == pytest.approx(total.net_percent, abs=1e-4)
    for course, account in zip(found[1:], portfolio.accounts, strict=True):
        assert course.points[-1].net_percent == pytest.approx(account.net_return_percent, abs=1e-4)


def test_the_results_of_the_days_add_up_to_the_result() -> None:
    views = seen()
    portfolio = views.portfolio.view()
    days = day_results(views.portfolio.equity.views(), views.days, 7)
    assert [one.day_ms for one in days] == sorted({one.day_ms for one in days})
    assert sum(one.result_usdt for one in days) == pytest.approx(portfolio.equity_usdt - portfolio.capital_usdt)
    assert days[-1].result_usdt == pytest.approx(portfolio.day_result_usdt)
    assert sum(one.trades for one in days) == len(views.trades.closed())


def test_only_the_last_days_are_shown() -> None:
    views = seen()
    assert day_results(views.portfolio.equity.views(), views.days, 1)[0].day_ms == views.days.today.day * 86_400_000  # type: ignore[union-attr]


def test_one_steps_to_the_nearest_fill_and_trip_on_either_side() -> None:
    views, log = seen(), example_day()
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


def test_all_courses_begin_at_one_moment_each_with_its_capital() -> None:
    """A curve keeps the last equity of an hour, so where one traded within the first, its beginning is gone."""
    views = seen()
    equity, capital = views.portfolio.equity, views.portfolio.view().capital_usdt
    total = equity.total().view(capital)
    late = replace(total, curve=tuple(EquityPoint(one.at_ms + 1, one.equity_usdt) for one in total.curve))
    found = equity_curves(late, equity.views(), 50)
    assert found[0].points[0] == EquityCurvePoint(found[1].points[0].at_ms, capital, 0.0)
    assert found[0].points[1].at_ms == late.curve[0].at_ms
    assert len({one.points[0].at_ms for one in found}) == 1
