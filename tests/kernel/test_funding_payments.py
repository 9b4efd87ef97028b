"""Funding: booked once for each position and settlement, with the first candle that opens at or after it."""

from __future__ import annotations

import pytest

from papertape.engine.kernel.risk_settings import RiskSettings
from papertape.events.facts import FundingPaid, PositionClosed, PositionOpened, Timing
from papertape.events.units import MINUTE_MS
from tests.build import DAY_0_MS, settled
from tests.kernel.scenario import BUY, LEAVE, SELL, Scenario, only

SMOOTH = RiskSettings(slippage_percent=0.0)


def standing(told: float = BUY) -> Scenario:
    """A position opened at minute 1, with minute 2 next."""
    scenario = Scenario(risk=SMOOTH, stop_percent=20.0, target_percent=50.0)
    scenario.enter(told)
    return scenario


@pytest.mark.parametrize(
    ("told", "rate", "sign"), [(BUY, 0.001, -1), (BUY, -0.001, 1), (SELL, 0.001, 1), (SELL, -0.001, -1)]
)
def test_with_a_positive_rate_the_long_pays_the_short(told: float, rate: float, sign: int) -> None:
    scenario = standing(told)
    before, quantity = scenario.account.cash_usdt, scenario.desk().position.quantity_base
    scenario.settle(2, rate)
    paid = only(scenario.candle((110.0, 115.0, 105.0, 100.0)), FundingPaid)
    assert paid.amount_usdt == pytest.approx(sign * quantity * 110.0 * 0.001, rel=1e-12), "at the booking candle's open"
    assert scenario.account.cash_usdt == before + paid.amount_usdt
    assert (paid.settled_at_ms, paid.at_ms) == (DAY_0_MS + 2 * MINUTE_MS, DAY_0_MS + 2 * MINUTE_MS)


def test_a_settlement_is_booked_once() -> None:
    scenario = standing()
    scenario.settle(2, 0.001)
    only(scenario.candle(100.0), FundingPaid)
    assert scenario.candle(100.0) == []
    assert scenario.candle(100.0) == []


def test_a_settlement_after_the_open_waits_for_the_next_candle() -> None:
    scenario = standing()
    scenario.settle(3, 0.001)
    assert scenario.candle(100.0) == [], "it opens at minute 2"
    only(scenario.candle(100.0), FundingPaid)


def test_settlements_inside_a_hole_are_booked_after_it_the_oldest_first_at_that_open() -> None:
    scenario = standing()
    for minute, rate in ((10, 0.001), (20, -0.002), (30, 0.003)):
        scenario.settle(minute, rate)
    scenario.skip(60)
    paid = scenario.candle((101.0, 101.0, 99.0, 99.0))
    assert [event.rate for event in paid if isinstance(event, FundingPaid)] == [0.001, -0.002, 0.003]
    assert {event.price_usdt for event in paid if isinstance(event, FundingPaid)} == {101.0}


def test_a_position_opened_at_the_settlement_neither_pays_nor_receives() -> None:
    scenario = Scenario(risk=SMOOTH)
    scenario.candle(100.0, BUY)
    scenario.settle(1, 0.001)
    only(scenario.candle(100.0), PositionOpened)
    assert scenario.candle(100.0) == []


def test_a_settlement_that_arrives_late_asks_who_stood_at_its_time() -> None:
    for told_at, pays in ((0, True), (1, False)):
        scenario = Scenario(risk=SMOOTH)
        for minute in range(3):
            scenario.candle(100.0, BUY if minute == told_at else 1.0)
        scenario.settle(2, 0.001)
        assert [type(event) for event in scenario.candle(100.0)] == ([FundingPaid] if pays else [])


def test_a_position_left_by_an_order_at_that_open_pays_before_it_goes() -> None:
    scenario = standing()
    scenario.candle(100.0, LEAVE)
    scenario.settle(3, 0.001)
    paid, closed = scenario.candle(100.0)
    assert isinstance(paid, FundingPaid)
    assert isinstance(closed, PositionClosed)
    assert closed.funding_usdt == paid.amount_usdt


def test_a_late_candle_books_funding() -> None:
    scenario = standing()
    scenario.settle(2, 0.001)
    only(scenario.candle(100.0, timing=Timing.LATE), FundingPaid)


def test_nobody_pays_for_a_settlement_of_before_the_position() -> None:
    scenario = Scenario(risk=SMOOTH)
    scenario.candle(100.0)
    scenario.settle(1, 0.001)
    scenario.candle(100.0)
    scenario.enter()
    assert scenario.candle(100.0) == []


def test_an_update_that_repeats_a_settlement_is_no_news() -> None:
    from papertape.engine.reducer.reducer import is_new  # noqa: PLC0415 - the one question of this test

    scenario = standing()
    scenario.settle(2, 0.001)
    assert not is_new(scenario.world, settled(2 * MINUTE_MS, 0.001, "X"))
    assert is_new(scenario.world, settled(3 * MINUTE_MS, 0.001, "X"))
